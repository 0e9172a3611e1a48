//! The devices that the tests run on.

use burn::tensor::Device;

use super::GRAPHICS;

/// The flex device, with autodiff.
pub(crate) fn device() -> Device {
    Device::flex().autodiff()
}

/// Devices with kernels of their own, with autodiff.
pub(crate) fn fused_devices() -> Vec<Device> {
    let graphics = cube_device().map(Device::autodiff);
    std::iter::once(device()).chain(graphics).collect()
}

/// The devices of the backends that are compiled in, without autodiff.
pub(crate) fn every_device() -> Vec<Device> {
    let mut devices = other_devices();
    devices.push(Device::flex());
    devices.extend(cube_device());
    devices
}

/// The multiple of a tolerance that a device is allowed.
pub(crate) fn slack(device: &Device) -> f64 {
    let graphics = cube_device().is_some_and(|graphics| graphics == device.clone().inner());
    if graphics { GRAPHICS } else { 1.0 }
}

/// The device that the kernels in CubeCL are tested on, where this build has one and this machine too. A machine without one is noted as
/// `cargo xtask validate` counts it.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) fn cube_device() -> Option<Device> {
    static OPENED: std::sync::OnceLock<Result<Device, String>> = std::sync::OnceLock::new();
    match OPENED.get_or_init(open) {
        Ok(device) => Some(device.clone()),
        Err(error) => {
            note_skipped(error);
            None
        }
    }
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
pub(crate) fn cube_device() -> Option<Device> {
    None
}

/// That device with half of f32 that it multiplies, bfloat16 where it has both; one without either is noted too.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) fn cube_device_with_half() -> Option<(Device, burn::tensor::FloatDType)> {
    use burn::tensor::FloatDType;
    let device = cube_device()?;
    let halves = [FloatDType::BF16, FloatDType::F16];
    let half = halves.into_iter().find(|half| device.supports_dtype(*half));
    if half.is_none() {
        note_skipped("no half precision on the device");
    }
    half.map(|half| (device, half))
}

#[cfg(all(feature = "cube", not(any(feature = "wgpu", feature = "cuda"))))]
pub(crate) fn cube_device_with_half() -> Option<(Device, burn::tensor::FloatDType)> {
    None
}

#[cfg(feature = "cuda")]
fn open() -> Result<Device, String> {
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda);
    let first = found.into_iter().next();
    first.ok_or_else(|| "no device of cuda".to_owned())
}

#[cfg(all(feature = "wgpu", not(feature = "cuda")))]
fn open() -> Result<Device, String> {
    let device = Device::wgpu_options().init();
    device.map_err(|error| format!("no device of wgpu: {error}"))
}

/// Notes in the file that `cargo xtask validate` counts, and on the screen, that this test lacks a device. Tests run in threads of their
/// names.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn note_skipped(lacking: &str) {
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    let thread = std::thread::current();
    let line = format!(
        "{}: {}",
        thread.name().unwrap_or("?"),
        lacking.replace('\n', " ")
    );
    static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !noted.insert(line.clone()) {
        return; // a test of many cases says it once
    }
    eprintln!("SKIPPED {line}");
    // target/debug/deps/TEST
    let test = std::env::current_exe().expect("a test is a program");
    let target = test.ancestors().nth(3).expect("programs lie in target");
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true);
    let opened = file.open(target.join("skipped-tests.txt"));
    let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    // A disk that refuses it is no reason to fail: the line is on the screen.
    drop(written);
}

/// Devices on which the fused path does not apply, of the backends that are compiled in.
pub(crate) fn other_devices() -> Vec<Device> {
    #[cfg(feature = "ndarray")]
    #[expect(deprecated, reason = "Burn's only other backend without drivers")]
    let devices = vec![Device::ndarray()];
    #[cfg(not(feature = "ndarray"))]
    let devices = Vec::new();
    devices
}
