"""How each table's RocksDB, one a service and partition, uses memory and compresses."""

from __future__ import annotations

import rocksdict
from faust.stores.rocksdb import RocksDBOptions

BLOCK_BYTES = 16 * 1024
"""What RocksDB reads and compresses at a time: of larger blocks less is left."""
ZSTD_LEVEL, ZSTD_WINDOW = 3, -14
"""zstd's default level; the window is zlib's, and no concern of zstd."""


class StoreOptions(RocksDBOptions):
    """RocksDB's options, with what Faust has no names for.

    By default all is compressed by Snappy, in blocks of 4 KiB. Here what was written last is compressed fast,
    and what has been merged to the lowest level, where nearly all is, well. Files that there are can be read
    with any options.
    """

    def as_options(self) -> rocksdict.Options:
        """As Faust makes them, and compressed by level."""
        options: rocksdict.Options = super().as_options()
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_bloom_filter(self.bloom_filter_size, block_based=True)
        blocks.set_block_cache(rocksdict.Cache(self.block_cache_size))
        blocks.set_index_type(rocksdict.BlockBasedIndexType.binary_search())
        blocks.set_block_size(BLOCK_BYTES)
        options.set_block_based_table_factory(blocks)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        options.set_bottommost_compression_type(rocksdict.DBCompressionType.zstd())
        options.set_bottommost_compression_options(
            ZSTD_WINDOW, ZSTD_LEVEL, strategy=0, max_dict_bytes=0, enable=True
        )
        return options
