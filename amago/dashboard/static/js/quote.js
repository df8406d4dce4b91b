// A command line as one would type it into a POSIX shell.

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;
// Control characters, line separators, and marks that reorder or hide text.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One argument, quoted where the shell would not take it as it is. */
export function quoteArgument(argument) {
  const text = String(argument);
  if (PLAIN.test(text)) return text;
  if (text.search(HIDDEN) < 0) return `'${text.replaceAll("'", "'\\''")}'`;
  // $'...' spells out what cannot be seen, so that nobody pastes something they did not read.
  const escaped = text.replace(/[\\']/g, "\\$&").replace(HIDDEN, escape);
  return `$'${escaped}'`;
}

/** The whole command in one line. */
export function quoteCommand(command) {
  return command.map(quoteArgument).join(" ");
}

function escape(character) {
  const code = character.charCodeAt(0);
  return SHORT[character] ?? (code < 128 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
}

function hex(code, digits) {
  return code.toString(16).padStart(digits, "0");
}
