/* Shows times in the reader's own zone and way; without this they stand there in UTC. */

import { locale } from "./words.js";

const sameDay = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const otherDay = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const otherYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" });

export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = exact.format(at);
    if (time.matches("[data-since], [data-exact]")) continue; // waiting times run by themselves, paper has a zone
    const now = new Date();
    const isToday = at.toDateString() === now.toDateString();
    const isThisYear = at.getFullYear() === now.getFullYear();
    time.textContent = (isToday ? sameDay : isThisYear ? otherDay : otherYear).format(at);
  }
}
