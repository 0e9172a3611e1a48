//! Files of images to pixels, and pixels to other sizes.

mod decode;
mod jpeg;
mod resize;

pub(super) use decode::{decode, size};
pub(super) use resize::stretched;
