"""Prints files over 400 lines and functions over 50: places to look for a second idea."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("amago", "scripts", "tests", "examples", "benchmarks")
FILE_LINES = 400
FUNCTION_LINES = 50


def main() -> None:
    """Print one line for each, longest first."""
    files, functions = [], []
    for path in (p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py"))):
        text = path.read_text()
        name = path.relative_to(ROOT)
        lines = text.count("\n")
        if lines > FILE_LINES:
            files.append((lines, f"{name}"))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    functions.append((length, f"{name}:{node.lineno} {node.name}"))
    for title, found in (("file", files), ("function", functions)):
        for lines, where in sorted(found, reverse=True):
            print(f"  {title} of {lines} lines: {where}")
    if not files and not functions:
        print("  none")


if __name__ == "__main__":
    main()
