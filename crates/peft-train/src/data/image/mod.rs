//! Images with labels: folders with a subfolder per class, tables of pixels, or the idx files of MNIST; and how they become numbers.

mod folder;
mod idx;
mod jpeg;
mod leftovers;
mod options;
mod picture;
mod pixel_table;
mod processor;
mod source;
mod verify;

pub use options::{PictureOptions, PixelColumns};
pub use picture::{Picture, Pixels};
pub use processor::ImageProcessor;
pub use source::{Pictures, read_pictures};
pub use verify::Verified;
