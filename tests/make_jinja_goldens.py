#!/usr/bin/env python3
"""Writes the texts in tests/data/jinja_goldens.json anew: what Python makes of the templates that stand in it.

Needs two packages: pip install jinja2==3.1.6 transformers==4.57.6

The environment is the one in which transformers renders chat templates, but for the clock, which tells "now". A template
in "renders" must render; one in "refused" must not, by whatever error. One in "unsupported" must render, but not in Rill.
"""

import datetime
import json
import pathlib

import jinja2
import transformers
from transformers.utils import chat_template_utils

PATH = pathlib.Path(__file__).resolve().parent / "data" / "jinja_goldens.json"


def main():
    goldens = json.loads(PATH.read_text(encoding="utf-8"))
    now = datetime.datetime.fromtimestamp(goldens["now"], datetime.timezone.utc)
    chat_template_utils.datetime = type("Clock", (), {"now": lambda: now})

    def render(template):
        variables = json.loads(json.dumps(goldens["variables"]))
        return chat_template_utils._compile_jinja_template(template).render(**variables)

    goldens["made_by"] = f"jinja2 {jinja2.__version__}, transformers {transformers.__version__}"
    for cases in goldens["renders"].values():
        for case in cases:
            case[1] = render(case[0])
    for template in goldens["unsupported"]:
        render(template)
    for template in goldens["refused"]:
        try:
            raise SystemExit(f"{template!r} renders as {render(template)!r}")
        except Exception:  # of jinja2, or of Python: TypeError, ZeroDivisionError, ...
            pass
    PATH.write_text(json.dumps(goldens, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
