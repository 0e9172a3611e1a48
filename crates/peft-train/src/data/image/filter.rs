//! Filters of resizing, by their names in the Python Imaging Library.

/// How pixels are weighed when an image is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// The nearest pixel alone.
    Nearest,
    /// Lanczos, three lobes.
    Lanczos,
    /// A triangle.
    Bilinear,
    /// Catmull-Rom.
    Bicubic,
}
