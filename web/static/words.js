/* Texts of the scripts in the page's language: their English is their name. The table stands in pages that
 * are not in English. */

const table = JSON.parse(document.querySelector("#words")?.textContent || "{}");
const page = document.documentElement.lang;

/* How numbers and times are written: the browser's own way where it speaks the page's language. */
export const locale = navigator.languages?.find((name) => name.split("-")[0] === page)
  ?? (page === "en" ? undefined : page);

export function t(text, values = {}) {
  return (table[text] ?? text).replace(/\{(\w+)\}/g, (found, name) => values[name] ?? found);
}
