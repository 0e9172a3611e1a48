//! What a template may cost, in time and memory. It comes with a model, and the engine counts steps alone.
//!
//! [`guard`] reads the source by the engine's own grammar (`tags`, `cursor`, `expressions`, `operands`) and puts a filter around whatever can
//! grow a value; [`limits`] has those filters and the bounds of source and output, `bounded` the built-in filters and methods with a bound
//! (`prices`, `formats`), and [`meter`] adds up what one rendering makes.

mod bounded;
mod cursor;
mod expressions;
mod formats;
pub(super) mod guard;
pub(super) mod limits;
pub(super) mod meter;
mod operands;
mod prices;
mod tags;
