"""Prints the five dots of a host from files.

Exit codes: 0 the dots were printed, 1 a file cannot be read or is not what it should be, 2 wrong use.
"""

import sys

import hostfiles
import nixfleet

COLOURS = {
    nixfleet.Status.UNKNOWN: "gray",
    nixfleet.Status.OK: "green",
    nixfleet.Status.OUTDATED: "yellow",
    nixfleet.Status.ERROR: "red",
    nixfleet.Status.WORKING: "blue",
}


def main():
    arguments = hostfiles.parser(__doc__).parse_args()
    try:
        told = hostfiles.statuses(arguments)
    except (OSError, nixfleet.InputError) as error:
        print(f"dots: {error}", file=sys.stderr)
        return 1
    for compartment, (status, _) in told.items():
        print(compartment.value, COLOURS[status])
    return 0


if __name__ == "__main__":
    sys.exit(main())
