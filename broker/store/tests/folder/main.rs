//! Claims about real data folders: damaged, foreign, in use, of an earlier build, and read by an
//! independent codec. Through the public door alone.

mod codec;
mod damage;
mod earlier;
mod occupied;
mod sample;
mod typed;
