#!/usr/bin/env python3
"""Makes FOLDER/index.html of what tests/paper.sh left in FOLDER: one page without any other file, each figure and table
with the command that made it and with what the StreamingLLM paper (arXiv 2309.17453) found beside it.

Usage: tests/paper_page.py FOLDER
"""

import html
import json
import math
import pathlib
import re
import sys

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2.5rem auto; padding: 0 1rem }
h1 { line-height: 1.2 } h2 { margin-top: 3.5rem; border-top: 1px solid #ddd; padding-top: 1.5rem }
.claims { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
.claims div { background: #f5f7f9; border-radius: 6px; padding: .7rem 1rem }
.claims b { display: block; font-size: .8rem; text-transform: uppercase; letter-spacing: .05em; color: #567 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; border-bottom: 1px solid #e5e5e5 }
th:first-child, td:first-child { text-align: left } caption { text-align: left; color: #567; padding-bottom: .3rem }
svg { width: 100%; height: auto } figure { margin: 1rem 0 }
details { color: #567; font-size: .85rem } pre { white-space: pre-wrap; overflow-wrap: anywhere }
@media (max-width: 45rem) { .claims { grid-template-columns: 1fr } }
"""


class Results:
    """What the steps left: NAME.json, NAME.nll, NAME.svg and NAME.command. A step that was not run is None."""

    def __init__(self, folder):
        self.folder = folder

    def text(self, name):
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    def json(self, step):
        text = self.text(step + ".json")
        return None if text is None else json.loads(text)

    def perplexity(self, step):
        result = self.json(step)
        return None if result is None else result["perplexity"]

    def nll(self, step):
        """[n]: value i is of token i + 1, since the first token is not scored."""
        text = self.text(step + ".nll")
        return None if text is None else [float(line) for line in text.split()]

    def perplexity_of_tokens(self, step, begin, end, shift=0):
        """Of tokens begin..end - 1 of the text, where the run's stream has `shift` tokens before the text."""
        values = self.nll(step)
        if values is None:
            return None
        values = values[begin + shift - 1:end + shift - 1]
        return math.exp(sum(values) / len(values)) if values else None

    def numbers_in_names(self, pattern):
        found = (re.fullmatch(pattern, path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)


def number(value, digits=2, suffix=""):
    return "not run" if value is None else f"{value:,.{digits}f}{suffix}"


def table(caption, head, rows):
    cells = lambda tag, row: "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return (f"<table><caption>{html.escape(caption)}</caption>\n<tr>{cells('th', head)}</tr>\n{body}</table>\n")


def figure(results, name):
    svg = results.text(name + ".svg")
    return "" if svg is None else f"<figure>{svg}</figure>\n"


def commands(results, steps):
    lines = [text.strip() for text in (results.text(step + ".command") for step in steps) if text]
    if not lines:
        return ""
    return (f"<details><summary>Commands</summary><pre>{html.escape(chr(10).join(lines))}</pre></details>\n")


def section(title, paper, ours, body):
    return (f"<h2>{html.escape(title)}</h2>\n<div class=\"claims\"><div><b>The paper</b>{html.escape(paper)}</div>"
            f"<div><b>Here</b>{html.escape(ours)}</div></div>\n{body}")


def times(part, whole):
    return "?" if part is None or whole is None else f"{part / whole:.2f}"


def four_methods(results):
    body, said = "", []
    for size in (256, 1024):
        recompute = f"methods-{size}"
        steps = [("dense", "dense, everything kept"), (f"window-{size}", f"window 0+{size}"),
                 (recompute, f"recompute the last {size}"), (f"stream-{size}", f"stream 4+{size - 4}")]
        recomputed = results.nll(recompute)
        end = len(recomputed) + 1 if recomputed else size + 1
        rows = []
        for step, label in steps:
            all_of_it = None if step == recompute else results.json(step)
            rows.append([label, number(results.perplexity_of_tokens(step, size + 1, end)),
                         "" if step == recompute else number(all_of_it and all_of_it["perplexity"]),
                         number((results.json(step) or {}).get("tokens_per_s"), 1)])
        scored = (results.json(f"stream-{size}") or {}).get("tokens_scored")
        body += figure(results, recompute) + table(
            f"Perplexity with a cache of {size} slots; the first column is of the same tokens for all methods",
            ["method", f"tokens {size + 1} to {end - 1}", f"all {number(scored, 0)} tokens", "tokens/s"], rows)
        body += commands(results, [step for step, _ in steps])
        stream = results.perplexity_of_tokens(f"stream-{size}", size + 1, end)
        said.append(f"at {size} slots, the stream's perplexity is "
                    f"{times(stream, results.perplexity_of_tokens(recompute, size + 1, end))} times that of "
                    f"recomputation, and the window's "
                    f"{times(results.perplexity_of_tokens(f'window-{size}', size + 1, end), stream)} times the "
                    "stream's")
    return section(
        "Four methods over one book",
        "Figures 1 and 3: dense attention fails past the trained length, a window as soon as the first tokens leave "
        "it; the stream with sinks stays as good as a sliding window with recomputation (Llama-2-13B: 5.40 against "
        "5.43, window 5158).",
        "On tokens that recomputation scored, " + "; ".join(said) + ".", body)


def sinks(results):
    counts = (0, 1, 2, 4, 8)
    sizes = results.numbers_in_names(r"sinks-(\d+)-8\.json")
    rows, body, said = [], "", []
    for size in sizes:
        values = [results.perplexity(f"sinks-{size}-{n}") for n in counts]
        rows.append([f"{size} slots"] + [number(value) for value in values])
        body += figure(results, f"sinks-{size}")
        said.append(f"at {size} slots, none costs {times(values[0], values[3])} times the perplexity of four, one "
                    f"{times(values[1], values[3])}, eight {times(values[4], values[3])}")
    body += table("Perplexity by the number of sinks", ["cache"] + [f"{n}+(N−{n})" for n in counts], rows)
    body += commands(results, [f"sinks-{size}-{n}" for size in sizes for n in counts])
    return section(
        "How many sinks",
        "Table 2: without sinks perplexity explodes (Llama-2-7B 3359.95); one or two do not always suffice; four do "
        "(9.59), and eight add nothing (9.54).",
        "; ".join(said).capitalize() + ".", body)


def cache_size(results):
    sizes = results.numbers_in_names(r"cache-(\d+)\.json")
    values = [results.perplexity(f"cache-{size}") for size in sizes]
    rows = [["perplexity"] + [number(value, 3) for value in values]]
    body = figure(results, "cache") + table("Perplexity by the size of the cache, four sinks included", [""] + sizes,
                                            rows)
    best = min(zip(values, sizes), default=(None, None))
    ours = "Not run." if not sizes else (
        f"The best of these sizes is {best[1]} slots ({number(best[0])}); {sizes[0]} slots give {number(values[0])}, "
        f"{sizes[-1]} give {number(values[-1])}.")
    return section("Does a bigger cache help?",
                   "Table 6: not always. Some families are no better, or worse, with a bigger cache: a limit of the "
                   "models, which do not use all that they see.", ours,
                   body + commands(results, [f"cache-{size}" for size in sizes]))


def past_training(results):
    trained = (results.json("model") or {"config": {}})["config"].get("context_length", 0)
    tokens = (results.json("past") or {"tokens_scored": 0})["tokens_scored"]
    runs = (("past", "stream 4+252"), ("past-dense", "dense"))
    spans = [(tokens * i // 4 + 1, tokens * (i + 1) // 4 + 1) for i in range(4)]
    spans += [span for span in ((256, 6000), (trained, 20000)) if span[1] <= tokens + 1]
    values = {step: [results.perplexity_of_tokens(step, *span) for span in spans] for step, _ in runs}
    rows = [[f"{begin:,} to {end - 1:,}"] + [number(values[step][i]) for step, _ in runs]
            for i, (begin, end) in enumerate(spans)]
    ours = (f"{tokens:,} tokens, of which {max(0, tokens - trained):,} are past the {trained:,} of the training. From "
            f"the first quarter to the last, the stream's perplexity goes from {number(values['past'][0])} to "
            f"{number(values['past'][3])}, that of dense attention from {number(values['past-dense'][0])} to "
            f"{number(values['past-dense'][3])} (the text changes, too)." if tokens else "Not run.")
    return section("Past the trained length",
                   "Figures 3 and 5: dense attention fails past the trained length. The stream's positions are those "
                   "in the cache, so it goes on for 4 million tokens without getting worse.", ours,
                   figure(results, "past") +
                   table("Perplexity of the quarters, and before and past the trained length",
                         ["tokens"] + [label for _, label in runs], rows) +
                   commands(results, [step for step, _ in runs]))


def newline_sinks(results):
    base = results.nll("text-sinks")
    begin, end = 513, len(base) + 1 if base else 514
    rows = [["no sinks, 0+512", results.perplexity_of_tokens("no-sinks", begin, end)],
            ["first four tokens of the text, 4+508", results.perplexity_of_tokens("text-sinks", begin, end)],
            ["four newlines, 4+508", results.perplexity_of_tokens("newline-sinks", begin, end, shift=4)]]
    ours = (f"Newlines as sinks have {times(rows[2][1], rows[1][1])} times the perplexity of the text's own first four "
            f"tokens; no sinks, {times(rows[0][1], rows[1][1])} times.")
    body = figure(results, "newline-sinks") + table(
        f"Perplexity of the same tokens {begin:,} to {end - 1:,} of the book", ["sinks", "perplexity"],
        [[label, number(value)] for label, value in rows])
    return section("Are the first tokens special, or only first?",
                   "Table 1: only first. Four newlines in their place restore perplexity (Llama-2-13B: 5.60; the first "
                   "four tokens 5.40; no sinks 5158).", ours,
                   body + commands(results, ["no-sinks", "text-sinks", "newline-sinks"]))


def long_run(results, name, label):
    """What one long stream says, and its picture and tables; nothing if it was not run."""
    counts = results.numbers_in_names(name + r"-(\d+)\.json")
    if not counts:
        return "", ""
    step = f"{name}-{counts[-1]}"
    run = results.json(step)
    policy = run["policy"]
    pieces = run.get("pieces", [])
    values = [piece["perplexity"] for piece in pieces]
    said = (f"{label}, {run['tokens_scored']:,} tokens over five books, in one stream at {policy['sinks']}+"
            f"{policy['window']}: perplexity {number(run['perplexity'])}")
    if values:
        said += f", by pieces between {number(min(values))} and {number(max(values))}"
    said += (f"; {number(run['tokens_per_s'], 0)} tokens/s, peak memory of the process "
             f"{number(run['peak_rss_bytes'] / 2 ** 20, 1)} MiB. ")
    rows = [[f"{piece['tokens']:,}", number(piece["perplexity"]), f"{piece['rss_bytes']:,}"] for piece in pieces]
    return said, figure(results, step) + table(
        f"{label}: along the stream", ["up to token", "perplexity of the piece", "resident bytes"],
        rows) + commands(results, [step])


def long_runs(results):
    parts = [long_run(results, "long", "The model"), long_run(results, "stories", "stories260K, which knows no novels")]
    said, body = ("".join(column) for column in zip(*parts))
    return section("A long run over all books",
                   "Figure 5: perplexity stays level over 4 million tokens (100 books of PG19) for all four families.",
                   said or "Not run.", body)


def streameval(results):
    steps = [("eval-dense", "dense"), ("eval-window", "window 0+1024"), ("eval-recompute", "recompute the last 1024"),
             ("eval-stream", "stream 4+1020")]
    distances = sorted({d for step, _ in steps for d in (results.json(step) or {}).get("distance_lines", [])})
    tokens = {}
    rows = []
    for step, label in steps:
        run = results.json(step) or {"distance_lines": []}
        cells = {d: i for i, d in enumerate(run["distance_lines"])}
        tokens.update({d: run["distance_tokens"][i] for d, i in cells.items()})
        rows.append([label] + [f"{100 * run['accuracy'][cells[d]]:.0f}% ({100 * run['digit_accuracy'][cells[d]]:.0f}%)"
                               if d in cells else "" for d in distances])
    examples = (results.json("eval-stream") or {}).get("examples", [])[:5]
    said = table("What was said: the stream's first answers", ["lines back", "expected", "said"],
                 [[e["distance_lines"], e["expected"], repr(e["said"])] for e in examples])
    best = max((value for step, _ in steps for value in (results.json(step) or {}).get("accuracy", [])), default=0)
    ours = (f"The model hardly does this task: the best accuracy of any method at any distance "
            f"is {100 * best:.0f}%. So the table says little about the methods; it is here to be repeated with a "
            "bigger model." if best < 0.5 else
            f"The best accuracy of any method at any distance is {100 * best:.0f}%; compare within a column.")
    return section("StreamEval",
                   "Figure 9: with sinks, accuracy stays high however long the stream gets, while dense attention and "
                   "a window fail (queries 20 lines back). What has left the cache is not found (appendix).",
                   ours, figure(results, "eval-stream") + table(
                       "Exact answers (and digits right in their places, a tenth by chance) by distance",
                       ["method"] + [f"{d} line{'s' if d > 1 else ''}, {tokens[d]:.0f} tokens" for d in distances], rows) + said +
                   commands(results, [step for step, _ in steps]))


def bench(results):
    policies = (results.json("bench") or {}).get("policies", [])
    rows = [[p["window"], number(1e3 * p["stream_s_per_token"]), number(1e3 * p["recompute_s_per_token"]),
             number(p["ratio"], 1), number(p["stream_bytes"] / 2 ** 20, 1), number(p["recompute_bytes"] / 2 ** 20, 1)]
            for p in policies]
    best = max(policies, key=lambda p: p["ratio"], default=None)
    ours = "Not run." if best is None else (
        f"Up to {best['ratio']:.1f} times faster, at {best['window']} slots; memory differs by at most "
        f"{max(abs(p['stream_bytes'] - p['recompute_bytes']) for p in policies) / 2 ** 20:.1f} MiB.")
    return section("Time and memory against the size of the cache",
                   "Figure 10: up to 22.2 times faster per token than recomputation, on a GPU, with about the same "
                   "memory.", ours,
                   figure(results, "bench") + table("A decode step with the cache full (medians)", [
                       "slots", "stream, ms", "recompute, ms", "ratio", "stream, MiB", "recompute, MiB"], rows) +
                   commands(results, ["bench"]))


def page(results):
    parts = [part(results) for part in (four_methods, sinks, cache_size, past_training, newline_sinks, long_runs,
                                        streameval, bench)]
    model = results.json("model")
    about = "" if model is None else (
        f" The model: {model['family']}, {model['config']['layers']} layers of width {model['config']['hidden']}, "
        f"trained on {model['config']['context_length']:,} tokens at a time.")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Rill and the StreamingLLM paper</title><style>{STYLE}</style></head><body>
<h1>Rill and the StreamingLLM paper</h1>
<p>The experiments of “Efficient Streaming Language Models with Attention Sinks” (arXiv 2309.17453), made with Rill on
one small model and five public-domain books. Weights and cache are 8-bit integers; the paper's models are far larger
and in float16, and its texts are others, so it is the shape of each result that can be compared, not its
numbers. “4+252” is a cache of four sinks and the 252 latest tokens; perplexity is exp of the mean negative log
likelihood per token, lower is better. Everything here was made by <code>tests/paper.sh</code>.{html.escape(about)}</p>
{"".join(parts)}</body></html>
"""


def main():
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_dir():
        sys.exit("usage: tests/paper_page.py FOLDER, the folder that tests/paper.sh filled")
    folder = pathlib.Path(sys.argv[1])
    text = page(Results(folder))
    partial = folder / "index.html.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / "index.html")


if __name__ == "__main__":
    main()
