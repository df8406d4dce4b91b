// A list of paths as folders within folders.

import { compareText, sortRows } from "./sorting.js";

/**
 * The root of `files = [{path, size, modified}]`:
 * `{name, path, folders: [...], files: [...], size, modified, count}`, sums over all below.
 */
export function folderTree(files) {
  const root = newFolder("", "");
  for (const file of files) {
    const parts = file.path.split("/");
    const name = parts.pop();
    let folder = root;
    add(root, file);
    for (const part of parts) {
      const path = folder.path ? `${folder.path}/${part}` : part;
      if (!folder.byName.has(part)) folder.byName.set(part, newFolder(part, path));
      folder = folder.byName.get(part);
      add(folder, file);
    }
    folder.files.push({ ...file, name });
  }
  return root;
}

function newFolder(name, path) {
  return { name, path, byName: new Map(), files: [], size: 0, modified: 0, count: 0 };
}

function add(folder, file) {
  folder.size += file.size;
  folder.modified = Math.max(folder.modified, file.modified);
  folder.count += 1;
}

/** Folders of `folder` and then its files, each sorted by "name", "size" or "modified". */
export function sortedEntries(folder, column = "name", isDescending = false) {
  const sort = (entries) =>
    column === "name"
      ? [...entries].sort((a, b) => (isDescending ? -1 : 1) * compareText(a.name, b.name))
      : sortRows(entries, (entry) => entry[column], isDescending);
  return { folders: sort([...folder.byName.values()]), files: sort(folder.files) };
}

/** The address of a file of a run on the server. */
export function fileAddress(runId, path) {
  const parts = path.split("/").map(encodeURIComponent);
  return `/api/runs/${encodeURIComponent(runId)}/file/${parts.join("/")}`;
}
