import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const STATIC = new URL("../../../amago/dashboard/static/", import.meta.url);
const sources = readdirSync(new URL("js/", STATIC), { recursive: true })
  .filter((file) => file.endsWith(".js"))
  .map((file) => [file, readFileSync(new URL(`js/${file}`, STATIC), "utf8")]);

test("no part of the page reads text as markup or as a program", () => {
  assert.ok(sources.length > 30);
  const dangerous =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc/;
  const found = sources.filter(([, source]) => dangerous.test(source)).map(([file]) => file);
  assert.deepEqual(found, []);
});

test("the page itself has no inline scripts or styles, which its policy forbids", () => {
  const page = readFileSync(new URL("index.html", STATIC), "utf8");
  assert.doesNotMatch(page, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:\/\//);
});

const css = readFileSync(new URL("css/base.css", STATIC), "utf8");
const themes = {
  light: css.slice(0, css.indexOf("@media (prefers-color-scheme: dark)")),
  dark: css.slice(css.indexOf(':root[data-theme="dark"]')),
};
/** How people without, and with the two common kinds of colour blindness see linear RGB. */
const EYES = [
  [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  [
    [0.367, 0.861, -0.228],
    [0.28, 0.673, 0.047],
    [-0.012, 0.043, 0.969],
  ],
  [
    [0.152, 1.053, -0.205],
    [0.115, 0.786, 0.099],
    [-0.004, -0.048, 1.052],
  ],
];

const linear = (hex) =>
  [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
const seen = (eye, rgb) =>
  eye.map((row) =>
    Math.min(
      1,
      Math.max(
        0,
        row.reduce((sum, w, i) => sum + w * rgb[i], 0),
      ),
    ),
  );

/** Oklab: distances in it are about as large as the difference looks. */
function oklab([r, g, b]) {
  const l = Math.cbrt(0.4122 * r + 0.5363 * g + 0.0514 * b);
  const m = Math.cbrt(0.2119 * r + 0.6807 * g + 0.1074 * b);
  const s = Math.cbrt(0.0883 * r + 0.2817 * g + 0.63 * b);
  return [
    0.2105 * l + 0.7936 * m - 0.0041 * s,
    1.978 * l - 2.4286 * m + 0.4506 * s,
    0.0259 * l + 0.7828 * m - 0.8087 * s,
  ];
}

const distance = (one, other) => Math.hypot(...one.map((value, i) => value - other[i]));
const luminance = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

for (const [theme, rules] of Object.entries(themes)) {
  const colours = [...rules.matchAll(/--series-\d: (#\w{6})/g)].map((match) => linear(match[1]));
  const value = (key) => linear(new RegExp(`--${key}: (#\\w{6})`).exec(rules)[1]);

  test(`the ten colours are told apart by all eyes (${theme})`, () => {
    assert.equal(colours.length, 10);
    for (const eye of EYES) {
      const looks = colours.map((rgb) => oklab(seen(eye, rgb)));
      looks.forEach((one, i) =>
        looks.slice(0, i).forEach((other) => assert.ok(distance(one, other) > 0.08)),
      );
    }
  });

  test(`lines and text stand out from what is behind them (${theme})`, () => {
    for (const colour of colours) assert.ok(contrast(colour, value("panel")) >= 2.99);
    for (const key of ["ink", "muted", "good", "bad", "warn", "accent"]) {
      for (const behind of ["panel", "bg"])
        assert.ok(contrast(value(key), value(behind)) >= 4.5, key);
    }
  });
}

test("the two ways into the dark theme have the same colours", () => {
  const media = css.slice(
    css.indexOf("@media (prefers-color-scheme: dark)"),
    css.indexOf("/* The same colours"),
  );
  const list = (rules) => [...rules.matchAll(/--[\w-]+: [^;]+;/g)].map(String);
  assert.deepEqual(list(media), list(themes.dark.slice(0, themes.dark.indexOf("}"))));
});
