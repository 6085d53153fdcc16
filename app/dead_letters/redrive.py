"""What operators do with dead letters: redrive, discard, and the release of a quarantined order.

Runs at the worker that owns the key. Everything goes through a dry run of the engine's own code before it is
done, in the order in which it was dead-lettered: the next is sent when the last is decided. An order is
released when nothing of it is open any more; what is turned away until then follows. The last dead letter is
marked after the release: a crash in between leaves one open, whose redrive does nothing but release the order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from app.dead_letters.publish import RedrivePublisher
from app.dead_letters.reader import DeadLetterReader
from app.dead_letters.redrive_rules import original_topic, redrive_refusal, redrive_step
from models.dead_letter import (
    DeadLetter,
    DeadLetterState,
    DryRunVerdict,
    OriginalRecord,
    RedriveResult,
    RedriveStep,
)
from models.errors import OperatorActionRefusedError
from models.sender import CommandSender
from models.times import machine_now_ms
from tables import REDRIVE_HEADER, DryRunInput, InputPosition, Quarantine, StateTable

MAX_BATCH: Final = 100
"""Dead letters that are read, rehearsed and sent together, at most."""
MAX_ROUNDS: Final = 50
"""After so many rounds an order gets new inputs faster than they are redriven."""


@dataclass(slots=True)
class _RedriveSession:
    """One act.

    pending: what has been dealt with and is marked when the next one is, or the order released.
    settled: what has been marked, for the audit.
    """

    letter: DeadLetter
    table: StateTable
    key: str
    by: str
    reason: str
    steps: list[RedriveStep] = field(default_factory=list)
    pending: tuple[DeadLetter, DeadLetterState] | None = None
    settled: list[tuple[DeadLetter, DeadLetterState]] = field(default_factory=list)

    @property
    def quarantine(self) -> Quarantine | None:
        """The order's, in this service."""
        record = self.table.get(self.key)
        return record.quarantine if record else None

    def result(self, stopped: str) -> RedriveResult:
        """What was done."""
        is_quarantined = self.quarantine is not None
        return RedriveResult(tuple(self.steps), is_quarantined=is_quarantined, stopped=stopped)


class Redriver:
    """`web.http.deps.DeadLetterActions`."""

    def __init__(
        self,
        letters: DeadLetterReader,
        tables: Mapping[str, StateTable],
        sender: CommandSender,
        positions: Callable[[], Sequence[InputPosition]],
    ) -> None:
        """positions: of this worker's runtime."""
        self._letters, self._tables = letters, tables
        self._publisher = RedrivePublisher(letters, sender, positions)
        self._locks = WeakValueDictionary[tuple[str, bytes | None], asyncio.Lock]()

    async def redrive(
        self, letter: DeadLetter, *, by: str, reason: str, all_of_order: bool, dry_run: bool
    ) -> RedriveResult:
        """See `DeadLetterActions.redrive`. Nothing is done if any would be dead-lettered again."""
        async with self._exclusively(letter):
            session = self._session(letter, by, reason)
            plan = self._plan(session, all_of_order=all_of_order)
            told, _ = await self._dry_run(session, plan)
            refusal = next((why for step in told if (why := redrive_refusal(step))), None)
            if dry_run:
                done = [] if refusal else self._open(session) if all_of_order else plan
                return self._dry_run_result(session, told, done, is_refused=refusal is not None)
            if refusal is not None:
                raise refusal
            try:
                stopped = await self._redrive_all(session, all_of_order=all_of_order)
            finally:
                await self._audit(session)
            return session.result(stopped)

    async def discard(
        self, letter: DeadLetter, *, by: str, reason: str, redrive_rest: bool, dry_run: bool
    ) -> RedriveResult:
        """See `DeadLetterActions.discard`. An order that nothing else holds is released."""
        async with self._exclusively(letter):
            step = RedriveStep(letter, None)
            if letter.order_key is None or not self._has_consumer(letter):
                if not dry_run:
                    act = (letter, DeadLetterState.DISCARDED, by, reason)
                    await self._publisher.publish_marker(*act)
                    await self._publisher.publish_audit(*act)
                return RedriveResult((step,))
            session = self._session(letter, by, reason)
            if dry_run:
                return await self._dry_run_discard(session, redrive_rest=redrive_rest)
            session.pending = (letter, DeadLetterState.DISCARDED)
            session.steps.append(step)
            stopped = ""
            try:
                if redrive_rest:
                    stopped = await self._redrive_all(session, all_of_order=True)
                else:
                    await self._release_if_done(session)
            finally:
                await self._audit(session)
            return session.result(stopped)

    async def _dry_run_discard(
        self, session: _RedriveSession, *, redrive_rest: bool
    ) -> RedriveResult:
        """What it would lead to if it were redriven instead; then what the rest would."""
        told, _ = await self._dry_run(session, [session.letter])
        done, stopped = [session.letter], ""
        if redrive_rest:
            rest = [letter for letter in self._open(session) if letter is not session.letter]
            for step in (await self._dry_run(session, rest[:MAX_BATCH]))[0] if rest else ():
                told.append(step)
                if refusal := redrive_refusal(step):
                    stopped = refusal.detail
                    break
                done.append(step.letter)
            else:
                done += rest[MAX_BATCH:]
        return self._dry_run_result(session, told, done, stopped=stopped)

    @asynccontextmanager
    async def _exclusively(self, letter: DeadLetter) -> AsyncIterator[None]:
        """One act of a key at a time, on a letter that is open."""
        async with self._locks.setdefault((letter.service, letter.key), asyncio.Lock()):
            await self._letters.caught_up()
            if letter.state is not DeadLetterState.OPEN:
                raise OperatorActionRefusedError("DEAD_LETTER_SETTLED", f"It is {letter.state}.")
            yield

    def _has_consumer(self, letter: DeadLetter) -> bool:
        """Whether its service runs here and reads its topic."""
        table = self._tables.get(letter.service)
        return table is not None and original_topic(letter) in table.service.inputs

    def _session(self, letter: DeadLetter, by: str, reason: str) -> _RedriveSession:
        key = letter.order_key
        if key is None:
            raise OperatorActionRefusedError(
                "DEAD_AGAIN", "Its key can't be read, so no service can act on it. Discard it."
            )
        if not self._has_consumer(letter):
            raise OperatorActionRefusedError(
                "DEAD_AGAIN", "No service of this application takes it any more. Discard it."
            )
        return _RedriveSession(letter, self._tables[letter.service], key, by, reason)

    def _plan(self, session: _RedriveSession, *, all_of_order: bool) -> list[DeadLetter]:
        """What is to be redriven, in the order in which it was dead-lettered."""
        first, *_ = found = self._open(session)
        if all_of_order:
            return found[:MAX_BATCH]
        if first is not session.letter:
            why = "redrive or discard that one first, or redrive all of the order's."
            raise OperatorActionRefusedError(
                "REDRIVE_OUT_OF_ORDER", f"{first.name} died before it: {why}"
            )
        return [first]

    def _open(self, session: _RedriveSession) -> list[DeadLetter]:
        done = session.pending[0] if session.pending else None
        found = self._letters.open_for_key(session.letter.service, session.letter.key)
        return [letter for letter in found if letter is not done]

    async def _dry_run(
        self, session: _RedriveSession, plan: Sequence[DeadLetter]
    ) -> tuple[list[RedriveStep], list[OriginalRecord]]:
        """What the plan would lead to, up to the first that would be dead-lettered again."""
        originals = await self._letters.originals(plan)
        inputs = []
        for letter, original in zip(plan, originals, strict=True):
            if original.value is None:
                break
            headers = (*original.headers, (REDRIVE_HEADER, letter.service.encode()))
            inputs.append(
                DryRunInput(original_topic(letter), letter.key or b"", original.value, headers)
            )
        at_ms = machine_now_ms()
        results = session.table.dry_run_inputs(inputs, at_ms) if inputs else []
        steps = [redrive_step(letter, told) for letter, told in zip(plan, results, strict=False)]
        if len(inputs) < len(plan) and len(steps) == len(inputs):
            letter = plan[len(inputs)]
            why = "Its value is gone." if letter.omitted_bytes else "It never had a value."
            steps.append(RedriveStep(letter, DryRunVerdict.DEAD, error="no value", message=why))
        return steps, originals

    async def _redrive_all(self, session: _RedriveSession, *, all_of_order: bool) -> str:
        """Redrive and release; gives why it stopped before the end, "" if it did not."""
        for _ in range(MAX_ROUNDS):
            found = self._open(session)
            plan = found[:MAX_BATCH] if all_of_order else [session.letter]
            if found:
                told, originals = await self._dry_run(session, plan)
                for step, original in zip(told, originals, strict=False):
                    if stopped := await self._redrive_one(session, step, original):
                        await self._mark_pending(session)
                        return stopped
            if await self._release_if_done(session) or not all_of_order:
                return ""
        return "New inputs are turned away as fast as they are redriven. Try again."

    async def _redrive_one(
        self, session: _RedriveSession, step: RedriveStep, original: OriginalRecord
    ) -> str:
        letter = step.letter
        if refusal := redrive_refusal(step):
            session.steps.append(step)
            return refusal.detail
        is_due = step.verdict is DryRunVerdict.DECIDED
        if is_due and not await self._publisher.redrive(session.table, letter, original):
            error, message = letter.error, letter.message
            dead = RedriveStep(letter, DryRunVerdict.DEAD, error=error, message=message)
            session.steps.append(dead)
            return f"{letter.name} is dead again."
        await self._mark_pending(session)
        session.pending = (letter, DeadLetterState.REDRIVEN)
        session.steps.append(step)
        return ""

    async def _release_if_done(self, session: _RedriveSession) -> bool:
        """Release the order if nothing of it is open; say whether nothing is left to be done."""
        is_released = await self._release(session)
        await self._mark_pending(session)
        return is_released and not self._open(session)

    async def _release(self, session: _RedriveSession) -> bool:
        """Lift the quarantine if nothing that it turned away is open; say whether it is lifted."""
        quarantine = session.quarantine
        if quarantine is None:
            return True
        letter = session.letter
        await self._publisher.wait_until_listed(letter, quarantine)
        if any(each.since_ms == quarantine.since_ms for each in self._open(session)):
            return False
        await self._publisher.release(session.table, letter, quarantine)
        return session.quarantine is None

    def _dry_run_result(
        self,
        session: _RedriveSession,
        steps: Sequence[RedriveStep],
        done: Sequence[DeadLetter],
        *,
        is_refused: bool = False,
        stopped: str = "",
    ) -> RedriveResult:
        """done: what would be settled, so that it would hold the order no longer."""
        quarantine = session.quarantine
        is_held = quarantine is not None and any(
            letter.since_ms == quarantine.since_ms
            for letter in self._open(session)
            if letter not in done
        )
        return RedriveResult(tuple(steps), is_refused, is_held, stopped)

    async def _mark_pending(self, session: _RedriveSession) -> None:
        if session.pending is not None:
            letter, state = session.pending
            await self._publisher.publish_marker(letter, state, session.by, session.reason)
            session.settled.append((letter, state))
            session.pending = None

    async def _audit(self, session: _RedriveSession) -> None:
        """Tell what was done, last of all: the timeline itself may be what was quarantined."""
        for letter, state in session.settled:
            await self._publisher.publish_audit(letter, state, session.by, session.reason)
