//! See the programs in `src/bin`.
