import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { findLines, plainLines } from "../../../amago/dashboard/static/js/console_text.js";
import { quoteArgument, quoteCommand } from "../../../amago/dashboard/static/js/quote.js";
import { compareText, sortRows } from "../../../amago/dashboard/static/js/sorting.js";
import {
  fileAddress, folderTree, sortedEntries,
} from "../../../amago/dashboard/static/js/folder_tree.js";

test("plain arguments of a command are shown as they are", () => {
  assert.equal(
    quoteCommand(["python", "train.py", "--lr=1e-4", "a/b:c@d,e"]),
    "python train.py --lr=1e-4 a/b:c@d,e",
  );
});

test("what a shell would change is quoted", () => {
  assert.equal(quoteArgument(""), "''");
  assert.equal(quoteArgument("two words"), "'two words'");
  assert.equal(quoteArgument("it's"), "'it'\\''s'");
  assert.equal(quoteArgument("$HOME"), "'$HOME'");
});

test("characters that cannot be seen are spelled out", () => {
  assert.equal(quoteArgument("a\u202eb"), "$'a\\u202eb'");
  assert.equal(quoteArgument("line\nit's\\"), "$'line\\nit\\'s\\\\'");
  assert.equal(quoteArgument("\u001b[31m"), "$'\\x1b[31m'");
});

test("bash reads back every argument as it was", () => {
  const hostile = [
    "", " ", "a b", "it's", '"', "$(id)", "`id`", "<script>", "../x", "*", "~", "a\nb", "\t",
    "x\u202ey", "\u0007", "back\\slash", "#", "!", "\u200b", "\u001b[0m", "é", "--x=1 2",
  ];
  const output = execFileSync("bash", ["-c", `printf '%s\\0' ${quoteCommand(hostile)}`], {
    encoding: "utf8", env: { LC_ALL: "C.UTF-8", PATH: process.env.PATH },
  });
  assert.deepEqual(output.split("\0").slice(0, -1), hostile);
});

test("numbers within names are sorted by size", () => {
  assert.ok(compareText("task-2", "task-10") < 0);
  assert.ok(compareText("b", "A") > 0);
  assert.notEqual(compareText("a", "A"), 0);
});

test("rows without a value come last in both directions", () => {
  const rows = [{ v: 2 }, { v: null }, { v: -1 }, { v: NaN }, { v: 10 }];
  const up = sortRows(rows, (row) => row.v).map((row) => row.v);
  const down = sortRows(rows, (row) => row.v, true).map((row) => row.v);
  assert.deepEqual(up, [-1, 2, 10, null, NaN]);
  assert.deepEqual(down, [10, 2, -1, null, NaN]);
});

test("equal rows keep their order, and the rows given are not changed", () => {
  const rows = [{ k: 1, n: "a" }, { k: 1, n: "b" }, { k: 0, n: "c" }];
  assert.deepEqual(sortRows(rows, (row) => row.k, true).map((row) => row.n), ["a", "b", "c"]);
  assert.deepEqual(rows.map((row) => row.n), ["a", "b", "c"]);
});

test("colours, cursor movements and bells of the console are left out", () => {
  const text = "\u001b[1;31mred\u001b[0m\u0007\n\u001b]0;title\u0007plain\u001b[2K\n";
  assert.deepEqual(plainLines(text), ["red", "plain"]);
});

test("a progress bar shows its last state", () => {
  assert.deepEqual(plainLines("a\r\n 1%\r 50%\r100%\nnext\r"), ["a", "100%", "next"]);
});

test("the end of the last line is no line of its own", () => {
  assert.deepEqual(plainLines(""), []);
  assert.deepEqual(plainLines("\n\nlast"), ["", "", "last"]);
});

test("the search of the console keeps the number of each line", () => {
  const found = findLines(["Epoch 1", "loss", "EPOCH 2"], "epoch");
  assert.deepEqual(found.map(({ index }) => index), [0, 2]);
  assert.equal(findLines(["a", "b"], " ").length, 2);
});

const FILES = [
  { path: "tracking/learner.jsonl", size: 10, modified: 5 },
  { path: "config.json", size: 1, modified: 9 },
  { path: "ckpts/2/policy.pt", size: 100, modified: 3 },
  { path: "ckpts/10/policy.pt", size: 50, modified: 4 },
  { path: "__proto__/constructor", size: 0, modified: 0 },
];

test("folders sum sizes, counts and the latest change of all below", () => {
  const root = folderTree(FILES);
  assert.deepEqual([root.size, root.count, root.modified], [161, 5, 9]);
  const { folders, files } = sortedEntries(root);
  assert.deepEqual(folders.map((f) => f.name), ["__proto__", "ckpts", "tracking"]);
  assert.deepEqual(files.map((f) => f.name), ["config.json"]);
  assert.equal(folders[1].size, 150);
  assert.deepEqual(sortedEntries(folders[1]).folders.map((f) => f.path), ["ckpts/2", "ckpts/10"]);
});

test("entries are sorted by size and by date within their folder", () => {
  const { folders } = sortedEntries(folderTree(FILES), "size", true);
  assert.deepEqual(folders.map((f) => f.name), ["ckpts", "tracking", "__proto__"]);
  const ckpts = folders[0];
  assert.deepEqual(sortedEntries(ckpts, "modified").folders.map((f) => f.name), ["2", "10"]);
});

test("the address of a file escapes every part of its path", () => {
  assert.equal(
    fileAddress("a/b", 'x/<script>"?#%.txt'),
    "/api/runs/a%2Fb/file/x/%3Cscript%3E%22%3F%23%25.txt",
  );
});
