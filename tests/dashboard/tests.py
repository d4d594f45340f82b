"""Runs tests of the dashboard and counts those that passed; started by `run.py`, in its venv."""

import argparse
import sys
import time
import unittest

import against_broker
import against_fake
import states

SLOW_SECONDS = 15


class Result(unittest.TextTestResult):
    """A result that names tests which take long."""

    def startTest(self, test):
        self.begun = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        took = time.monotonic() - self.begun
        if took > SLOW_SECONDS:
            self.stream.writeln(f"    took {took:.0f} s")
        super().stopTest(test)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary")
    parser.add_argument("--url")
    parser.add_argument("--only")
    chosen = parser.parse_args()
    real = chosen.binary or chosen.url
    against_broker.BINARY, against_broker.URL = chosen.binary, chosen.url
    loader = unittest.TestLoader()
    if chosen.only:
        loader.testNamePatterns = [f"*{chosen.only}*"]
    modules = [against_broker] if real else [against_fake, states]
    suite = unittest.TestSuite(map(loader.loadTestsFromModule, modules))
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    passed = max(0, result.testsRun - failed - skipped)
    # A test with subtests can fail more than once.
    print(f"dashboard: {passed} passed, {failed} failed, {skipped} skipped")
    return 0 if result.wasSuccessful() and passed else 1


if __name__ == "__main__":
    sys.exit(main())
