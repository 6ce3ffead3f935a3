"""Write the golden files anew: `python -m tests.golden`. Look at the difference before a commit.

The file of auraloss is written only where auraloss (and torch) is installed.
"""

import json
import sys

from tests.golden.measure import AURALOSS, SCORES, auraloss_values, scores


def main(which: list[str]) -> None:
    made = {"scores": (SCORES, scores), "auraloss": (AURALOSS, auraloss_values)}
    for name in which or made:
        path, measure = made[name]
        try:
            content = measure()
        except ImportError as error:
            sys.stderr.write(f"{path.name} is left as it is: {error}\n")
            continue
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
        path.write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
