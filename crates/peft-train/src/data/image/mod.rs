//! Images with labels: folders with a subfolder per class, tables of pixels, or the idx files of MNIST; and how they become numbers.

mod filter;
mod folder;
mod idx;
mod leftovers;
mod options;
mod picture;
mod pixel_table;
mod processor;
#[cfg(feature = "images")]
mod raster;
#[cfg(not(feature = "images"))]
#[path = "no_raster.rs"]
mod raster;
mod source;
mod verify;

pub use options::{PictureOptions, PixelColumns};
pub use picture::{Picture, Pixels};
pub use processor::ImageProcessor;
pub use source::{Pictures, read_pictures};
pub use verify::Verified;
