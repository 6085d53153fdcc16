/* A kitchen's history: times in the reader's zone, a ticket on paper. */
import "./print.js";
import { localTimes } from "./times.js";

localTimes(document);
