"""Writes the statuses of a host for the textfile collector of the Prometheus node exporter.

The file appears whole or not at all: it is written beside its place and then renamed. If an input
cannot be read, it says only that (nixfleet_readable 0), so that no old status stays.
Exit codes: 0 written, 1 written but an input cannot be read, 2 wrong use or cannot be written.
"""

import os
import sys
import tempfile

import hostfiles
import nixfleet

HEAD = """\
# HELP nixfleet_readable Whether the files of the host could be read.
# TYPE nixfleet_readable gauge
"""
STATUSES = """\
# HELP nixfleet_compartment_status 1 for the status that the compartment has, 0 for the others.
# TYPE nixfleet_compartment_status gauge
"""


def metrics(arguments):
    """The text, and why an input cannot be read."""
    try:
        told = hostfiles.statuses(arguments)
    except (OSError, nixfleet.NixfleetError) as error:
        return HEAD + "nixfleet_readable 0\n", error
    lines = [
        f'nixfleet_compartment_status{{compartment="{compartment.value}",'
        f'status="{one.value}"}} {int(one is status)}\n'
        for compartment, (status, _) in told.items()
        for one in nixfleet.Status
    ]
    return HEAD + "nixfleet_readable 1\n" + STATUSES + "".join(lines), None


def write(path, text):
    """Replaces the file at once."""
    folder = os.path.dirname(os.path.abspath(path))
    # The collector reads *.prom only, so it does not see the file before it is whole.
    handle, beside = tempfile.mkstemp(dir=folder, prefix=".nixfleet-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def main():
    parser = hostfiles.parser(__doc__)
    parser.add_argument("--output", required=True, help="the .prom file to write")
    arguments = parser.parse_args()
    text, error = metrics(arguments)
    try:
        write(arguments.output, text)
    except OSError as wrong:
        print(f"textfile: {wrong}", file=sys.stderr)
        return 2
    if error:
        print(f"textfile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
