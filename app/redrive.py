"""What operators do with dead letters: redrive, discard, and the release of a quarantined order.

Runs at the worker that owns the key. Everything is rehearsed by the engine's own code before it is
done, in the order in which it died, one after the other: the next is sent when the last is decided.
An order is released when nothing of it is open any more; what is turned away until then follows.
The last dead letter is marked after the release: a crash in between leaves one open that can be
redriven again, which then does nothing but release the order.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from app.dead_letters import DeadLetterReader
from app.redrive_puts import Producer, RedrivePuts
from app.redrive_rules import refusal_of, step_of, topic_of
from tables import (
    REDRIVE,
    Played,
    Position,
    StateTable,
    Verdict,
)
from web.ops_ports import Acted, Letter, LetterState, Original, Step
from web.problems import ProblemError

MOST_AT_ONCE: Final = 100
"""Dead letters that are read, rehearsed and sent together, at most."""
MOST_ROUNDS: Final = 50
"""After so many rounds an order gets new inputs faster than they are redriven."""


@dataclass(slots=True)
class _Turn:
    """One act.

    pending: what has been dealt with and is marked when the next one is, or the order released.
    settled: what has been marked, for the audit.
    """

    letter: Letter
    table: StateTable
    key: str
    by: str
    reason: str
    steps: list[Step] = field(default_factory=list)
    pending: tuple[Letter, LetterState] | None = None
    settled: list[tuple[Letter, LetterState]] = field(default_factory=list)


class Redriver:
    """`web.ops_ports.Settling`."""

    def __init__(
        self,
        letters: DeadLetterReader,
        tables: Mapping[str, StateTable],
        producer: Producer,
        positions: Callable[[], Sequence[Position]],
    ) -> None:
        """positions: of this worker's engines."""
        self._letters = letters
        self._tables = tables
        self._puts = RedrivePuts(letters, producer, positions)
        self._locks: WeakValueDictionary[tuple[str, bytes | None], asyncio.Lock] = (
            WeakValueDictionary()
        )

    async def redrive(
        self, letter: Letter, *, by: str, reason: str, all_of_order: bool, dry_run: bool
    ) -> Acted:
        """See `Settling.redrive`. Nothing is done if any of them would be dead again."""
        async with self._exclusively(letter):
            turn = self._turn(letter, by, reason)
            plan = self._plan(turn, all_of_order=all_of_order)
            told, _ = await self._rehearse(turn, plan)
            refusal = next((why for step in told if (why := refusal_of(step))), None)
            if dry_run:
                done = [] if refusal else self._open(turn) if all_of_order else plan
                return self._rehearsed(turn, told, done, is_refused=refusal is not None)
            if refusal is not None:
                raise refusal
            try:
                stopped = await self._go(turn, all_of_order=all_of_order)
            finally:
                await self._audit(turn)
            return self._acted(turn, turn.steps, stopped=stopped)

    async def discard(
        self, letter: Letter, *, by: str, reason: str, redrive_rest: bool, dry_run: bool
    ) -> Acted:
        """See `Settling.discard`. An order that nothing else holds is released."""
        async with self._exclusively(letter):
            step = Step(letter, None)
            if letter.order_key is None or not self._is_taken(letter):
                if not dry_run:
                    await self._puts.mark(letter, LetterState.DISCARDED, by, reason)
                    await self._puts.audit(letter, LetterState.DISCARDED, by, reason)
                return Acted((step,))
            turn = self._turn(letter, by, reason)
            if dry_run:
                return await self._rehearse_discard(turn, redrive_rest=redrive_rest)
            turn.pending = (letter, LetterState.DISCARDED)
            turn.steps.append(step)
            stopped = ""
            try:
                if redrive_rest:
                    stopped = await self._go(turn, all_of_order=True)
                else:
                    await self._finish(turn)
            finally:
                await self._audit(turn)
            return self._acted(turn, turn.steps, stopped=stopped)

    async def _rehearse_discard(self, turn: _Turn, *, redrive_rest: bool) -> Acted:
        """What it would lead to if it were redriven instead; then what the rest would."""
        told, _ = await self._rehearse(turn, [turn.letter])
        done, stopped = [turn.letter], ""
        if redrive_rest:
            rest = [letter for letter in self._open(turn) if letter is not turn.letter]
            for step in (await self._rehearse(turn, rest[:MOST_AT_ONCE]))[0] if rest else ():
                told.append(step)
                if refusal := refusal_of(step):
                    stopped = refusal.detail
                    break
                done.append(step.letter)
            else:
                done += rest[MOST_AT_ONCE:]
        return self._rehearsed(turn, told, done, stopped=stopped)

    @asynccontextmanager
    async def _exclusively(self, letter: Letter) -> AsyncIterator[None]:
        """One act of a key at a time, on a letter that is open."""
        place = (letter.service, letter.key)
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = asyncio.Lock()
        async with lock:
            await self._letters.caught_up()
            if letter.state is not LetterState.OPEN:
                raise ProblemError("DEAD_LETTER_SETTLED", f"It is {letter.state}.")
            yield

    def _is_taken(self, letter: Letter) -> bool:
        """Whether its service runs here and reads its topic."""
        table = self._tables.get(letter.service)
        return table is not None and topic_of(letter) in table.service.inputs

    def _turn(self, letter: Letter, by: str, reason: str) -> _Turn:
        key = letter.order_key
        if key is None:
            raise ProblemError(
                "DEAD_AGAIN", "Its key can't be read, so no service can act on it. Discard it."
            )
        if not self._is_taken(letter):
            raise ProblemError(
                "DEAD_AGAIN", "No service of this application takes it any more. Discard it."
            )
        return _Turn(letter, self._tables[letter.service], key, by, reason)

    def _plan(self, turn: _Turn, *, all_of_order: bool) -> list[Letter]:
        """What is to be redriven, in order: what died first comes first."""
        first, *_ = found = self._open(turn)
        if all_of_order:
            return found[:MOST_AT_ONCE]
        if first is not turn.letter:
            raise ProblemError(
                "REDRIVE_OUT_OF_ORDER",
                f"{first.name} died before it: redrive or discard that one first, or redrive all of "
                "the order's.",
            )
        return [first]

    def _open(self, turn: _Turn) -> list[Letter]:
        done = turn.pending[0] if turn.pending else None
        found = self._letters.open_of(turn.letter.service, turn.letter.key)
        return [letter for letter in found if letter is not done]

    async def _rehearse(
        self, turn: _Turn, plan: Sequence[Letter]
    ) -> tuple[list[Step], list[Original]]:
        """What the plan would lead to, up to the first that would be dead again."""
        originals = await self._letters.originals(plan)
        inputs = []
        for letter, original in zip(plan, originals, strict=True):
            if original.value is None:
                break
            inputs.append(
                Played(
                    topic_of(letter),
                    letter.key or b"",
                    original.value,
                    (*original.headers, (REDRIVE, letter.service.encode())),
                )
            )
        at_ms = time.time_ns() // 1_000_000
        rehearsals = turn.table.rehearse(inputs, at_ms) if inputs else []
        steps = [step_of(letter, told) for letter, told in zip(plan, rehearsals, strict=False)]
        if len(inputs) < len(plan) and len(steps) == len(inputs):
            letter = plan[len(inputs)]
            why = "Its value is gone." if letter.omitted_bytes else "It never had a value."
            steps.append(Step(letter, Verdict.DEAD, error="no value", message=why))
        return steps, originals

    async def _go(self, turn: _Turn, *, all_of_order: bool) -> str:
        """Redrive and release; gives why it stopped before the end, "" if it did not."""
        for _ in range(MOST_ROUNDS):
            found = self._open(turn)
            plan = found[:MOST_AT_ONCE] if all_of_order else [turn.letter]
            if found:
                told, originals = await self._rehearse(turn, plan)
                for step, original in zip(told, originals, strict=False):
                    if stopped := await self._redrive_one(turn, step, original):
                        await self._mark_pending(turn)
                        return stopped
            if await self._finish(turn) or not all_of_order:
                return ""
        return "New inputs are turned away as fast as they are redriven. Try again."

    async def _redrive_one(self, turn: _Turn, step: Step, original: Original) -> str:
        letter = step.letter
        if refusal := refusal_of(step):
            turn.steps.append(step)
            return refusal.detail
        is_due = step.verdict is Verdict.DECIDED
        if is_due and not await self._puts.again(turn.table, letter, original):
            dead = Step(letter, Verdict.DEAD, error=letter.error, message=letter.message)
            turn.steps.append(dead)
            return f"{letter.name} is dead again."
        await self._mark_pending(turn)
        turn.pending = (letter, LetterState.REDRIVEN)
        turn.steps.append(step)
        return ""

    async def _finish(self, turn: _Turn) -> bool:
        """Release the order if nothing of it is open; say whether nothing is left to be done."""
        is_released = await self._release(turn)
        await self._mark_pending(turn)
        return is_released and not self._open(turn)

    async def _release(self, turn: _Turn) -> bool:
        """Lift the quarantine if nothing that it turned away is open; say whether it is lifted."""
        record = turn.table.get(turn.key)
        quarantine = record.quarantine if record else None
        if quarantine is None:
            return True
        letter = turn.letter
        await self._puts.numbered(letter, quarantine)
        if any(each.since_ms == quarantine.since_ms for each in self._open(turn)):
            return False
        await self._puts.release(turn.table, letter, quarantine)
        record = turn.table.get(turn.key)
        return record is None or record.quarantine is None

    def _acted(
        self, turn: _Turn, steps: Sequence[Step], *, is_refused: bool = False, stopped: str = ""
    ) -> Acted:
        record = turn.table.get(turn.key)
        is_quarantined = record is not None and record.quarantine is not None
        return Acted(tuple(steps), is_refused, is_quarantined, stopped)

    def _rehearsed(
        self,
        turn: _Turn,
        steps: Sequence[Step],
        done: Sequence[Letter],
        *,
        is_refused: bool = False,
        stopped: str = "",
    ) -> Acted:
        """done: what would be settled, so that it would hold the order no longer."""
        record = turn.table.get(turn.key)
        quarantine = record.quarantine if record else None
        is_held = quarantine is not None and any(
            letter.since_ms == quarantine.since_ms
            for letter in self._open(turn)
            if letter not in done
        )
        return Acted(tuple(steps), is_refused, is_held, stopped)

    async def _mark_pending(self, turn: _Turn) -> None:
        if turn.pending is not None:
            letter, state = turn.pending
            await self._puts.mark(letter, state, turn.by, turn.reason)
            turn.settled.append((letter, state))
            turn.pending = None

    async def _audit(self, turn: _Turn) -> None:
        """Tell what was done, last of all: the timeline itself may be what was quarantined."""
        for letter, state in turn.settled:
            await self._puts.audit(letter, state, turn.by, turn.reason)
