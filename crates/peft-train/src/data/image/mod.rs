//! Images with labels: folders with a subfolder per class, tables of pixels, or the idx files of MNIST; and how they become numbers.

mod folder;
mod idx;
mod jpeg;
mod leftovers;
mod picture;
mod pixel_table;
mod processor;
mod source;
mod verify;

pub use picture::{Picture, Pixels};
pub use pixel_table::PixelColumns;
pub use processor::ImageProcessor;
pub use source::{PictureOptions, Pictures, read_pictures};
pub use verify::Verified;
