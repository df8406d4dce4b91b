// Searching names with a regular expression.

const ADVICE = "To search for ( [ * + ? themselves, write \\ before them.";

/**
 * What a typed pattern means: a test for names (letter case does not matter; an empty pattern takes
 * all), or why it is no pattern.
 * @param {string} pattern
 * @returns {{matches: ((name: string) => boolean) | null, error: string}}
 */
export function compile(pattern) {
  if (pattern.trim() === "") return { matches: () => true, error: "" };
  try {
    const expression = new RegExp(pattern, "iu");
    return { matches: (name) => expression.test(name), error: "" };
  } catch {
    return lenient(pattern);
  }
}

/** Without the strict "u" flag a lone "{" or "]" is plain text, as in most search fields. */
function lenient(pattern) {
  try {
    const expression = new RegExp(pattern, "i");
    return { matches: (name) => expression.test(name), error: "" };
  } catch (error) {
    const reason = String(error.message).split(": ").pop();
    return {
      matches: null,
      error: `This is not a valid pattern: ${reason.toLowerCase()}. ${ADVICE}`,
    };
  }
}
