"""What the examples share: their arguments, and an assessment of a host from files."""

import argparse
import os
import subprocess
import sys

import nixfleet

NOT_ASKED = (nixfleet.Compartment.AGENT, nixfleet.Compartment.SYSTEM, nixfleet.Compartment.TESTS)


def parser(about, *more):
    """The arguments that all examples take."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("lock", help="the flake.lock of the host")
    parser.add_argument("version", help="the version.json it should follow")
    parser.add_argument("observation", nargs="?", help="an observation of the host as JSON")
    for name, about in more:
        parser.add_argument(name, help=about)
    return parser


def checkout_beside(lock):
    """The commit checked out in the folder of the lock; None if git cannot tell."""
    git = ["git", "-C", os.path.dirname(lock) or ".", "describe"]
    options = ["--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        told = subprocess.run([*git, *options], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"git knows no commit beside {lock}: git and lock cannot be judged", file=sys.stderr)
        return None
    return told.stdout.strip()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def statuses(arguments):
    """Status and sentence of each compartment. Raises OSError or nixfleet.InputError."""
    situation = nixfleet.situation_from_files(
        read(arguments.lock),
        read(arguments.version),
        checkout=checkout_beside(arguments.lock),
        observation=read(arguments.observation) if arguments.observation else None,
    )
    told = {
        compartment: (answer.status, answer.message)
        for compartment, answer in nixfleet.assess(situation).compartments.items()
    }
    if not arguments.observation:
        # Nobody asked the host, so nothing is claimed about it.
        told.update(dict.fromkeys(NOT_ASKED, (nixfleet.Status.UNKNOWN, "the host was not asked")))
    return told
