"""README.md and docs/ as tests.

  docs_test.py check BERTH        every option that a page names is one of berth's (or of another program, below); every link leads to a file and
                                  a heading; every message that troubleshooting.md quotes stands in the sources
  docs_test.py links FOLDER       every link of the pages installed there leads to a file and a heading
  docs_test.py run BERTH [PAGE…]  runs the blocks of all pages that are `console`, or `sh` and marked, in order, a page in a folder and a shell of its own
  docs_test.py datasets BERTH …   the same for the blocks marked as on public data sets, in BERTH_DATASETS; exit code 77 without it

A `console` block has lines with commands, which begin with "$ ", and under each what it prints, errors and log lines included: it is compared. There `…` stands
for anything within a line, and for any lines where it is a line; numbers with a decimal point may differ by a tenth. A comment before a block marks it:

  <!-- test: short -->            `berth train` makes one step, and evaluations look at 4 samples; what is printed is not compared
  <!-- test: datasets -->         needs BERTH_DATASETS

BERTH_MODEL: the pretrained encoder. Without it no block is run: exit code 77.
"""
import os, pathlib, re, shutil, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Of other programs: CMake, Slurm, mpirun, Apptainer, EasyBuild, Nsight Systems, setup scripts.
OTHERS = set("""--build --install --prefix --preset --array --cpus-per-task --gpus-per-node --mpi --nodes --ntasks-per-node --requeue --signal --time
                --bind --build-arg --fakeroot --nv --robot --sourcepath --trace --where""".split())


def blocks(page):
    """(line number, language, marks, lines) of each fenced block."""
    marks, fence, found = set(), None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if fence is not None and line.strip() == "```":
            found.append(fence)
            fence, marks = None, set()
        elif fence is not None:
            fence[3].append(line)
        elif line.strip().startswith("```"):
            fence = (number, line.strip("` "), marks, [])
        elif line.strip():
            comment = re.fullmatch(r"<!-- test: (.*) -->", line)
            marks = set(comment[1].split()) if comment else set()
    return found


def commands(language, lines):
    """[(command, [lines that it prints])]."""
    found = []
    for line in lines if language == "console" else ["$ " + line for line in "\n".join(lines).replace("\\\n", "").splitlines()]:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (found[-1][0] + "\n" + line, [])
        elif found:
            found[-1][1].append(line)
    return found


def same_number(text, expected):
    return abs(float(text) - float(expected)) <= 0.1 * abs(float(expected))


def same_line(text, expected):
    """With `…` for anything, and numbers as they may be."""
    number = r"\d+\.\d+(?:e[-+]\d+)?"
    pattern = "".join(".*" if part == "…" else f"({number})" if re.fullmatch(number, part) else re.escape(part)
                      for part in re.split(f"(…|{number})", expected))
    match = re.fullmatch(pattern, text)
    return bool(match) and all(map(same_number, match.groups(), re.findall(number, expected)))


def same_lines(texts, expected):
    if not expected:
        return not texts
    if expected[0] == "…":
        return any(same_lines(texts[i:], expected[1:]) for i in range(len(texts) + 1))
    return bool(texts) and same_line(texts[0], expected[0]) and same_lines(texts[1:], expected[1:])


def trimmed(lines):
    """Without what pads tables and pictures."""
    return [re.sub(" +", " ", line).rstrip() for line in lines]


SHORT = """#!/bin/sh
case "${DOCS_SHORT:-}$1" in
  1train) set -- "$@" --max-steps 1 --max-eval-samples 4 ;;
  1evaluate) set -- "$@" --max-eval-samples 4 ;;
esac
exec %s "$@"
"""


def run_page(page, berth, datasets):
    """Runs its blocks; what is wrong, as a list."""
    steps = [(number, "short" in marks, *step) for number, language, marks, lines in blocks(page)
             if (language == "console" or language == "sh" and marks) and ("datasets" in marks) == datasets
             for step in commands(language, lines)]
    if not steps:
        return []
    with tempfile.TemporaryDirectory(prefix="berth-docs.") as folder:
        folder = pathlib.Path(folder)
        for name in ("data", "launcher"):
            (folder / name).symlink_to(ROOT / name)
        for data in pathlib.Path(os.environ["BERTH_DATASETS"]).iterdir() if datasets else ():
            (folder / data.name).symlink_to(data.resolve())
        (folder / "build").mkdir()
        (folder / "build/berth").write_text(SHORT % berth)
        (folder / "build/berth").chmod(0o755)
        script = "".join(f"export DOCS_SHORT={int(short)}\n{command}\nprintf '\\n<<%d>>\\n' $?\n" for _, short, command, _ in steps)
        environment = dict(os.environ, PATH=f"{folder / 'build'}:{os.environ['PATH']}", model=os.environ["BERTH_MODEL"])
        said = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False).stdout
    wrong = []
    outputs = re.findall(r"(.*?)\n<<(\d+)>>\n", said, re.DOTALL)
    for (number, short, command, expected), (output, code) in zip(steps, outputs):
        where = f"{page.relative_to(ROOT)}: block at line {number}: $ {command}"
        if code != "0":
            wrong.append(f"{where}\nended with exit code {code}:\n{output}")
        elif not short and not same_lines(trimmed(output.strip("\n").splitlines()), trimmed(expected)):
            wrong.append(f"{where}\nprinted\n{output}\ninstead of\n" + "\n".join(expected))
    if len(outputs) < len(steps):
        wrong.append(f"{page.relative_to(ROOT)}: the shell ended early: {said[-2000:]}")
    print(f"{page.relative_to(ROOT)}: {len(outputs)} commands")
    return wrong


def run(berth, datasets):
    needed = ["BERTH_MODEL", *(["BERTH_DATASETS"] if datasets else [])]
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        print(f"not run: {' and '.join(missing)} not set")
        sys.exit(77)
    pages = [pathlib.Path(page).resolve() for page in sys.argv[3:]] or PAGES
    return [problem for page in pages for problem in run_page(page, berth, datasets)]


def check_options(berth):
    script = subprocess.run([berth, "completion", "bash"], text=True, stdout=subprocess.PIPE, check=True).stdout
    known = set(re.findall(r"--[a-z][a-z0-9-]*", script)) | OTHERS
    return [f"{page.relative_to(ROOT)}: no program has the option {option}" for page in PAGES
            for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]*", page.read_text(encoding="utf-8"))
            if option.replace("_", "-") not in known]


def slug(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def check_links(pages, root):
    wrong = []
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            if link.startswith("http"):
                continue
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if target.is_file() else []
            if not target.exists() or (anchor and anchor not in map(slug, headings)):
                wrong.append(f"{page.relative_to(root)}: the link {link} leads nowhere")
    return wrong


def check_messages():
    """A quoted message is the code in the first column of a table; its pieces between `…` and colons stand in the sources."""
    sources = ""
    for folder in ("data", "launcher", "slurm", "trainer"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".cc", ".h", ".sh") and path.is_file():
                sources += path.read_text(encoding="utf-8")
    sources = re.sub(r'"\s*\n\s*"', "", sources).replace('\\"', '"')
    page = ROOT / "docs/troubleshooting.md"
    wrong, quoted = [], 0
    for cell in re.findall(r"^\| (.*?) \| ", page.read_text(encoding="utf-8"), re.MULTILINE):
        for message in re.findall(r"``(.+?) ``|`([^`]+)`", cell) if not cell.startswith("mpirun: ") else ():
            for piece in re.split("…|: ", message[0] or message[1]):
                quoted += 1
                if piece.strip(" :,;") not in sources:
                    wrong.append(f"docs/troubleshooting.md: berth does not say '{piece}'")
    assert quoted > 50, quoted
    return wrong


def main():
    what, where = sys.argv[1], str(pathlib.Path(shutil.which(sys.argv[2]) or sys.argv[2]).resolve())
    if what == "check":
        wrong = check_options(where) + check_links(PAGES, ROOT) + check_messages()
    elif what == "links":
        wrong = check_links(sorted(pathlib.Path(where).rglob("*.md")), where)
    else:
        wrong = run(where, what == "datasets")
    print("\n\n".join(wrong))
    sys.exit(1 if wrong else 0)


main()
