//! Pixels to another size, with the values that the Python Imaging Library gives them.

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::super::Pixels;
use super::super::filter::Filter;

fn algorithm(filter: Filter) -> ResizeAlg {
    match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
    }
}

/// One pass of the filter: to another width, or to another height.
pub(in super::super) fn stretched(
    pixels: Pixels,
    width: usize,
    height: Option<usize>,
    filter: Filter,
) -> Result<Pixels, String> {
    let height = height.unwrap_or(pixels.height);
    let kind = match pixels.channels {
        1 => PixelType::U8,
        _ => PixelType::U8x3,
    };
    let [from_width, from_height, to_width, to_height] =
        [pixels.width, pixels.height, width, height].map(|size| size as u32);
    let source = Image::from_vec_u8(from_width, from_height, pixels.values, kind);
    let source = source.map_err(|error| error.to_string())?;
    let mut target = Image::new(to_width, to_height, kind);
    let options = ResizeOptions::new()
        .resize_alg(algorithm(filter))
        .use_alpha(false);
    let done = Resizer::new().resize(&source, &mut target, &options);
    done.map_err(|error| error.to_string())?;
    Ok(Pixels {
        width,
        height,
        channels: pixels.channels,
        values: target.into_vec(),
    })
}
