"""`python -m bench.kafka_streams`: resolve the jars of Kafka Streams anew and write the lock file."""

from __future__ import annotations

import sys

from bench.kafka_streams import LOCK_FILE, ROOTS
from sandbox.kafka.jars import JarError, write_lock

try:
    jars = write_lock(LOCK_FILE, ROOTS)
except JarError as error:
    sys.exit(str(error))
print(f"{len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.0f} MB")
