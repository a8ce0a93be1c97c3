"""The child program of the farm's double."""

import sys

from farm.child import serve

if __name__ == "__main__":
    sys.exit(serve("farmdouble.jobs"))
