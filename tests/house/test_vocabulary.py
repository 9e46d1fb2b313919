"""The names of the code: each class name is unique, short ones stand in the glossary, and modules are called by nouns.

`python tests/house/test_vocabulary.py` lists the public functions and methods whose docstrings don't begin with an imperative sentence.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "preceptor"
GLOSSARY = ROOT / "docs" / "glossary.md"

SHARED_CLASS_NAMES = {
    "DawidSkene": "crowd-kit calls its class so, and `compat/crowdkit` keeps the library's names; ours is `consensus.dawid_skene`",
    "Options": "the protocol of aggregators: each holds the class of its options under this name",
}

NOUNS_IN_ING = {  # a module's name or its last word -> why it is a noun
    "active_learning": "the field's name of choosing what to label (Settles, 2009)",
    "batching": "the grouping of sequences into tensors",
    "data_scaling": "data scaling laws (Kaplan et al., 2020)",
    "forgetting": "catastrophic forgetting (McCloskey & Cohen, 1989)",
    "grounding": "resting answers on retrieved sources",
    "label_spelling": "how a label is spelled",
    "loading": "loading of models from folders",
    "mean_pooling": "the mean of token vectors, as in sentence-transformers",
    "monitoring": "the observation of a system that serves",
    "planning": "the design of a study and of its budget",
    "rating": "a point on a scale",
    "reporting": "the writing of reports",
    "resampling": "the bootstrap and permutation tests",
    "reward_hacking": "the exploitation of a proxy reward (Amodei et al., 2016)",
    "sampling": "decoding by chance from next-token probabilities",
    "scoring": "log-probabilities of given texts, or grades by a judge",
    "testing": "the usual name of a package's tools for tests, as in `numpy.testing`",
    "training": "fitting a model's weights",
}
PARTICIPLES_THAT_ARE_NAMES = {"hosted": "a hosted model, beside `local`: the industry's name for one behind somebody else's service"}
IRREGULAR_PARTICIPLES = frozenset(
    re.findall(
        r"\w+",
        """
    beaten been begun bent bitten blown born bought broken brought built burnt caught chosen dealt done drawn driven drunk dug eaten
    fallen felt flown forgotten fought found frozen given gone got gotten grown had heard held hidden hung kept known laid learnt left
    lent lost made meant met paid ridden risen rung said seen sent shaken shown sold sought spent spoken stolen stood struck stuck sung
    sunk sworn swum taken taught thought thrown told torn understood won worn wound woven written
    """,
    )
)

IMPERATIVES = frozenset(
    re.findall(
        r"[\w-]+",
        """
    Accept Act Activate Adapt Add Adjudicate Adjust Advance Aggregate Align Allocate Allow Analyse Analyze Announce Answer Append Apply
    Arrange Ask Assemble Assert Assess Assign Attach Audit Authenticate Authorize Average Backtest Balance Begin Bet Bill Bind Bisect
    Block Bound Branch Break Bring Build Buy Cache Calculate Calibrate Call Cancel Capitalize Carry Center Chain Change Check Choose
    Cite Claim Classify Clean Clear Clip Clone Close Cluster Collapse Collate Collect Combine Compare Compile Complete Compose Compress
    Compute Concatenate Configure Confirm Connect Consume Continue Convert Copy Correct Count Create Curate Cut Decide Declare Decode
    Decompose Deduplicate Defer Define Delete Delexicalize Deliver Derive Describe Deserialize Design Detect Determine Diagnose Digest
    Discard Distil Distill Distribute Divide Do Download Draw Drop Dump Embed Emit Enable Encode End Enforce Enqueue Ensure Enter
    Enumerate Erase Escalate Escape Estimate Evaluate Exclude Execute Exit Expand Expire Explain Exponentiate Export Expose Extend
    Extract Fail Fetch Fill Filter Finalize Find Fine-tune Finish Fit Fix Flag Flatten Flush Fold Follow Forbid Force Forecast Forget
    Format Forward Free Freeze Fuse Gather Generate Get Give Go Grade Group Guess Halve Handle Hash Have Hide Hold Identify Ignore
    Import Impute Include Increase Increment Index Infer Inflect Inform Initialize Insert Inspect Install Integrate Interpolate
    Interrupt Invalidate Invite Issue Iterate Join Judge Keep Label Launch Lay Learn Lease Leave Let Lift Limit Link List Listen Load
    Locate Lock Log Look Lower Make Manage Map Mark Mask Match Maximise Measure Merge Meta-learn Migrate Mix Modify Monitor Move
    Multiply Name Neutralize Normalise Normalize Note Notify Observe Offer Open Optimize Order Override Pack Pad Pair Parse Partition
    Pass Pause Perform Permute Pick Place Plan Plot Point Poll Pool Pop Post Predict Prepare Present Preserve Preview Price Print
    Prioritise Prioritize Process Produce Project Propagate Propose Protect Provide Prune Publish Pull Push Put Qualify Query Queue
    Quote Raise Rank Rate Read Rebuild Recalibrate Receive Recognise Recognize Recommend Record Recover Rectify Redact Redirect Reduce
    Refit Refresh Refuse Regenerate Register Reject Relabel Release Reload Remember Remove Rename Render Renew Reopen Repeat Replace
    Replay Report Represent Request Require Resample Rescale Reset Resolve Respond Restart Restore Restrict Resume Retain Retract
    Retrieve Retry Return Reverse Revert Revoke Rewrite Roll Rotate Round Route Run Sample Save Say Scale Scan Schedule Score Search
    Select Send Separate Serialize Serve Set Sharpen Shift Shorten Show Shrink Shuffle Shut Sign Signal Simulate Skip Smooth Solve Sort
    Spawn Spell Split Spread Stack Standardize Start Stop Store Stream Strip Submit Subtract Suggest Sum Summarise Summarize Supervise
    Suppress Suspend Swap Sync Synchronize Take Tally Tell Terminate Test Tie Tokenise Tokenize Trace Track Train Transform Transition
    Translate Transpose Treat Trim Truncate Try Tune Turn Undo Unlock Unpack Unpause Unwrap Update Upload Use Validate Verify View Visit
    Vote Wait Walk Warn Watch Weigh Weight Widen Withdraw Wrap Write Yield
    """,
    )
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def read_modules() -> Mapping[str, str]:
    """The text of each module, by its path under src/preceptor."""
    return {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}


def class_places(modules: Mapping[str, str]) -> dict[str, list[str]]:
    """The modules that define a class of each name, private and nested ones included; a leading underscore makes no other name."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, text in modules.items():
        for name in re.findall(r"^\s*class _?(\w+)[(:\[]", text, re.MULTILINE):
            places[name].append(path)
    return places


def repeated_classes(modules: Mapping[str, str]) -> list[str]:
    """Class names that are defined more than once, each with its modules."""
    return [f"{name}: {', '.join(paths)}" for name, paths in sorted(class_places(modules).items()) if len(paths) > 1]


def is_one_word(name: str) -> bool:
    """Whether a class name is one capitalised word: `Item`, `Rouge1`, `GLAD`, and not `TokenF1`."""
    return len(re.findall(r"[A-Z]+[0-9]*(?![a-z])|[A-Z][a-z0-9]*", name)) == 1


def glossary_entries(text: str) -> set[str]:
    """What a glossary defines: its headings, and what is bold or code in the first cell of a table's row."""
    cells = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {*headings, *(name for cell in cells for found in re.findall(r"\*\*(.+?)\*\*|`(.+?)`", cell) for name in found if name)}


def undefined_classes(modules: Mapping[str, str], glossary: str) -> list[str]:
    """Class names of one word that the glossary doesn't define."""
    names = {name.lstrip("_") for name in class_places(modules)}
    return sorted(name for name in names - glossary_entries(glossary) if is_one_word(name))


def invented_names(modules: Mapping[str, str], glossary: str) -> list[str]:
    """Classes, modules and packages that the glossary names in code, and that don't exist."""
    classes, codes = class_places(modules), re.findall(r"`(.+?)`", glossary)
    folders = {f"{parent}/" for path in modules for parent in Path(path).parents} | {"src/preceptor/"}
    paths = [code for code in codes if code.endswith((".py", "/")) and code not in modules and code not in folders]
    return paths + [code for code in codes if re.fullmatch(r"[A-Z]\w*", code) and code not in classes]


def verbal_modules(paths: Mapping[str, str]) -> list[str]:
    """Modules and packages whose name, or its last word, is an -ing form or a past participle that isn't allowed above."""
    return [path for path in paths if is_verbal(module_name(path))]


def module_name(path: str) -> str:
    """The name of a module; of a package's `__init__`, the package's."""
    module = Path(path)
    return (module.parent.name if module.stem == "__init__" else module.stem).lstrip("_")


def is_verbal(name: str) -> bool:
    """Whether a module's name is an -ing form or a past participle. What stands before the last word describes it, and may be either."""
    head = name.rpartition("_")[2]
    if {name, head} & {*NOUNS_IN_ING, *PARTICIPLES_THAT_ARE_NAMES}:
        return False
    return head.endswith(("ing", "ed")) or head in IRREGULAR_PARTICIPLES


def docstring_faults(modules: Mapping[str, str]) -> list[str]:
    """Public functions and methods without a docstring, or whose first line is no imperative sentence that ends with a full stop.

    An override may go without one where a class of the same top-level package documents the method that it overrides.
    """
    classes = {
        node.name: (path, node) for path, text in modules.items() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)
    }
    found = []
    for path, text in modules.items():
        for owner, function in public_functions(ast.parse(text)):
            doc, place = ast.get_docstring(function), f"{path}:{function.lineno} {owner.name + '.' if owner else ''}{function.name}"
            if not doc:
                if owner is None or not is_documented_above(owner, function.name, path, classes):
                    found.append(f"{place}: no docstring")
            elif fault := sentence_fault(doc.splitlines()[0]):
                found.append(f"{place}: {fault}: {doc.splitlines()[0]}")
    return found


def sentence_fault(line: str) -> str:
    """What is wrong with a docstring's first line; nothing where it is an imperative sentence."""
    first, _, rest = line.partition(" ")
    if first.rstrip(",") not in IMPERATIVES or rest.startswith("of "):  # "Count of rows" is a noun
        return "not imperative"
    return "" if line.endswith(".") and rest else "no whole sentence"


def public_functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """A module's public functions and its public classes' public methods; no properties, overloads or special methods."""
    for node in tree.body:
        if isinstance(node, FUNCTIONS) and is_described(node):
            yield None, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from ((node, each) for each in node.body if isinstance(each, FUNCTIONS) and is_described(each))


def is_described(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the rule of docstrings concerns a function."""
    decorators = {word for each in function.decorator_list for word in re.findall(r"\w+", ast.unparse(each))}
    return not function.name.startswith("_") and not decorators & {"property", "cached_property", "overload", "setter"}


def is_documented_above(owner: ast.ClassDef, method: str, path: str, classes: Mapping[str, tuple[str, ast.ClassDef]]) -> bool:
    """Whether a base class of the same top-level package has a docstring for a method."""
    for base in owner.bases:
        name = re.match(r"[\w.]+", ast.unparse(base))
        where, parent = classes.get(name[0].rpartition(".")[2] if name else "", ("", None))
        if parent is None or parent is owner or where.partition("/")[0] != path.partition("/")[0]:
            continue
        if any(isinstance(each, FUNCTIONS) and each.name == method and ast.get_docstring(each) for each in parent.body):
            return True
        if is_documented_above(parent, method, path, classes):
            return True
    return False


def test_public_functions_are_described_in_the_imperative():
    assert docstring_faults(read_modules()) == []


def test_each_class_name_is_used_once():
    found = [line for line in repeated_classes(read_modules()) if line.partition(":")[0] not in SHARED_CLASS_NAMES]
    assert found == []


def test_a_class_name_that_is_used_twice_is_found():
    modules = {"a.py": "class Batch:\n    class Row:\n        pass\n", "b.py": "def f():\n    class Row:\n        pass\n"}
    assert repeated_classes(modules) == ["Row: a.py, b.py"]


def test_each_class_name_of_one_word_is_in_the_glossary():
    assert undefined_classes(read_modules(), GLOSSARY.read_text(encoding="utf-8")) == []


def test_a_class_name_of_one_word_without_an_entry_is_found():
    glossary = "# Glossary\n\n| term | definition |\n|---|---|\n| **Item** | a `Thing` |\n| **GLAD** (`Glad`) | a model |\n"
    classes = ("Item", "Thing", "_Kept", "Glad", "GLAD", "MACE", "Rouge1", "TokenF1", "ItemView", "EMStep")
    modules = {"a.py": "".join(f"class {name}:\n    pass\n" for name in classes)}
    assert undefined_classes(modules, glossary) == ["Kept", "MACE", "Rouge1", "Thing"]


def test_what_the_glossary_names_exists():
    assert invented_names(read_modules(), GLOSSARY.read_text(encoding="utf-8")) == []


def test_an_invented_name_in_the_glossary_is_found():
    glossary = "| **Item** (`ItemView`, `Thing`) | `a/b.py`, `a/`, `a/c.py`, `d/`, `rename` | a paper |\n"
    assert invented_names({"a/b.py": "class ItemView:\n    pass\n"}, glossary) == ["a/c.py", "d/", "Thing"]


def test_modules_are_called_by_nouns():
    assert verbal_modules(read_modules()) == []


def test_a_module_that_is_called_by_a_verb_form_is_found():
    bad = ["a/judging.py", "asked.py", "held/__init__.py", "_frozen.py", "models/kept_drawn.py", "web/data_loaded.py", "learning.py"]
    good = [
        "training/__init__.py",
        "self_training.py",
        "training_files.py",
        "frozen_trunk.py",
        "option_scoring.py",
        "split.py",
        "runs/drift.py",
    ]
    assert verbal_modules(dict.fromkeys([*bad, *good], "")) == bad


def test_no_exception_is_left_over():
    places = class_places(read_modules())
    assert [name for name in SHARED_CLASS_NAMES if len(places[name]) < 2] == []
    names = {word for path in read_modules() for word in (module_name(path), module_name(path).rpartition("_")[2])}
    assert [name for name in (*NOUNS_IN_ING, *PARTICIPLES_THAT_ARE_NAMES) if name not in names] == []


def test_a_docstring_that_is_no_imperative_sentence_is_found():
    base = 'class Base:\n    def fit(self):\n        """Fit it to rows."""\n    @property\n    def size(self): ...\n'
    text = (
        'def rows():\n    """The rows."""\n\ndef count():\n    """Count of rows."""\n\ndef load():\n    """Load the rows"""\n\n'
        'def save():\n    """Save the rows."""\n\ndef bare(): ...\n\ndef _private(): ...\n\n'
        "class Child(Base):\n    def fit(self): ...\n    def score(self): ...\n"
    )
    assert docstring_faults({"a/base.py": base, "a/b.py": text, "c/d.py": "class Other(Base):\n    def fit(self): ...\n"}) == [
        "a/b.py:1 rows: not imperative: The rows.",
        "a/b.py:4 count: not imperative: Count of rows.",
        "a/b.py:7 load: no whole sentence: Load the rows",
        "a/b.py:13 bare: no docstring",
        "a/b.py:19 Child.score: no docstring",
        "c/d.py:2 Other.fit: no docstring",
    ]


if __name__ == "__main__":
    print("\n".join(docstring_faults(read_modules())))
