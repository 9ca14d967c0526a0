//! The disk floor: write-ahead log, partitions, tables, recovery. Never a socket.
