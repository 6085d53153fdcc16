/* A ticket on paper: that one alone. */
const showPrint = () => {
  for (const each of document.querySelectorAll("[data-print]")) each.hidden = false;
};
showPrint();
document.addEventListener("htmx:afterSwap", showPrint);
document.addEventListener("click", (event) => {
  const ticket = event.target.closest?.("[data-print]")?.closest("[data-ticket]");
  if (!ticket) return;
  ticket.classList.add("printed");
  document.body.classList.add("prints-one");
  window.print();
  ticket.classList.remove("printed");
  document.body.classList.remove("prints-one");
});
