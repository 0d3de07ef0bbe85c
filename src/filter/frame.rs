// SPDX-License-Identifier: MPL-2.0

//! A mapped video frame as the core's view of pixels.

use gst_video::prelude::*;

use crate::core::Error;
use crate::core::pixels::{Colorimetry, FrameView, Matrix, PixelFormat, Plane};

/// Caps of everything that can be analysed: system memory, any size and rate.
pub fn caps() -> gst::Caps {
    let formats = PixelFormat::ALL
        .iter()
        .map(|f| gst_video::VideoFormat::from_string(f.as_str()))
        .filter(|f| *f != gst_video::VideoFormat::Unknown);
    gst_video::VideoCapsBuilder::new().format_list(formats).build()
}

/// The pixels of a frame; strides and offsets as its video meta says, their aspect as its caps do.
pub fn view<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
) -> Result<FrameView<'a>, Error> {
    let info = frame.info();
    let name = info.format().to_str();
    let format = PixelFormat::from_name(name)
        .ok_or_else(|| Error::Picture(format!("format {name} cannot be analysed")))?;
    let mut planes = Vec::with_capacity(format.planes());
    for index in 0..format.planes() {
        let data = frame
            .plane_data(index as u32)
            .map_err(|_| Error::Picture(format!("plane {index} is missing")))?;
        let stride = usize::try_from(frame.plane_stride()[index])
            .map_err(|_| Error::Picture("rows from bottom to top cannot be analysed".into()))?;
        planes.push(Plane { data, stride });
    }
    let colorimetry = info.colorimetry();
    let matrix = match colorimetry.matrix() {
        gst_video::VideoColorMatrix::Bt709 => Matrix::Bt709,
        gst_video::VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        _ => Matrix::Bt601,
    };
    let full_range = colorimetry.range() == gst_video::VideoColorRange::Range0_255;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let aspect = info.par().numer() as f32 / info.par().denom() as f32;
    let view = FrameView::new(format, width, height, &planes, Colorimetry { matrix, full_range })?;
    Ok(view.with_pixel_aspect(aspect))
}
