// Groups of runs that are drawn as one line with a band: by `wandb_group_name`, or by the value of
// a setting.

const NO_GROUP = "no group";

/**
 * @param {{id: string, group: string | null}[]} runs the selected runs
 * @param {string} key "group", or a key of the config
 * @param {{key: string, values: any[]}[]} differing the answer of /api/diff for these runs, in
 *   their order
 * @returns {{label: string, runs: string[]}[] | null} null: the runs cannot be grouped like this
 */
export function groupsOf(runs, key, differing) {
  const values =
    key === "group" ? runs.map((run) => run.group ?? NO_GROUP) : settingOf(runs, key, differing);
  if (values === null) return null;
  const groups = new Map();
  runs.forEach((run, index) => {
    const label = values[index];
    if (!groups.has(label)) groups.set(label, []);
    groups.get(label).push(run.id);
  });
  return [...groups].map(([label, ids]) => ({ label, runs: ids }));
}

function settingOf(runs, key, differing) {
  const row = differing.find((candidate) => candidate.key === key);
  if (!row || row.values.length !== runs.length) return null;
  const short = key.split(".").pop();
  return row.values.map((value) => `${short} = ${valueText(value)}`);
}

function valueText(value) {
  if (value !== null && typeof value === "object" && value.missing) return "not set";
  return typeof value === "string" ? value : JSON.stringify(value);
}
