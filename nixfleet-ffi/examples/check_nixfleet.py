"""A check plugin for Nagios, Icinga and whatever else runs their plugins.

Exit codes: 0 OK (every dot is green or blue), 1 WARNING (one is yellow), 2 CRITICAL (one is red),
3 UNKNOWN (one is gray, or a file cannot be read). The worst counts: red, yellow, gray, green.
"""

import sys

import hostfiles
import nixfleet

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ["OK", "WARNING", "CRITICAL", "UNKNOWN"]
CODES = {
    nixfleet.Status.OK: OK,
    nixfleet.Status.WORKING: OK,
    nixfleet.Status.OUTDATED: WARNING,
    nixfleet.Status.ERROR: CRITICAL,
    nixfleet.Status.UNKNOWN: UNKNOWN,
}
WORST_FIRST = [CRITICAL, WARNING, UNKNOWN, OK]


class Parser(type(hostfiles.parser(""))):
    """Wrong use is unknown, too: 2 would mean critical."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(UNKNOWN, f"NIXFLEET UNKNOWN - {message}\n")


def clean(text):
    """One line without the sign that begins performance data."""
    return " ".join(text.split()).replace("|", "/")


def main():
    parser = hostfiles.parser(__doc__)
    parser.__class__ = Parser
    arguments = parser.parse_args()
    try:
        told = hostfiles.statuses(arguments)
    except (OSError, nixfleet.NixfleetError) as error:
        print(f"NIXFLEET UNKNOWN - {clean(str(error))}")
        return UNKNOWN
    codes = [CODES[status] for status, _ in told.values()]
    code = min(codes, key=WORST_FIRST.index)
    reasons = [
        f"{compartment.value}: {clean(message)}"
        for compartment, (status, message) in told.items()
        if CODES[status] == code
    ]
    counts = {status: 0 for status in nixfleet.Status}
    for status, _ in told.values():
        counts[status] += 1
    numbers = " ".join(f"{status.value}={count}" for status, count in counts.items())
    print(f"NIXFLEET {WORDS[code]} - {'; '.join(reasons)} | {numbers}")
    for compartment, (status, message) in told.items():
        print(f"{compartment.value} {status.value}: {clean(message)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
