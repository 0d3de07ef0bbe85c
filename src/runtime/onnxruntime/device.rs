// SPDX-License-Identifier: MPL-2.0

//! The GPUs of this machine, as NVIDIA's driver tells.

use std::ffi::{CStr, c_char, c_int, c_uint};

use libloading::{Library, Symbol};

use super::unloadable;

/// The driver's library; it comes with the driver, never with a package of CUDA.
const DRIVER: &str = "libcuda.so.1";

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR` of CUDA's driver API.
const CAPABILITY: [c_int; 2] = [75, 76];

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    pub name: String,
    /// Compute capability, as in `sm_90`: 90.
    pub capability: u32,
}

/// What the driver says of itself and of its GPUs, in CUDA's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpus {
    /// The newest CUDA that the driver runs, as 1000 x major + 10 x minor.
    pub cuda: u32,
    pub all: Vec<Gpu>,
}

/// Asks the driver. The error says why there is no GPU to be used.
pub fn gpus() -> Result<Gpus, String> {
    // SAFETY: the driver's library has no initialisation of its own that could go wrong.
    let library = unsafe { Library::new(DRIVER) }.map_err(|e| {
        format!("NVIDIA's driver is not installed or cannot be loaded ({})", unloadable(&e))
    })?;
    let driver = Driver::new(&library)?;
    let told = driver.gpus();
    // The driver keeps threads of its own: its code has to stay.
    std::mem::forget(library);
    told
}

/// The GPU of that number.
pub fn gpu(device: u32) -> Result<Gpu, String> {
    let found = gpus()?.all;
    found.get(device as usize).cloned().ok_or_else(|| {
        let names: Vec<String> =
            found.iter().enumerate().map(|(i, gpu)| format!("{i} ({})", gpu.name)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("there is no GPU with device-id {device}; those here are: {names}")
    })
}

type Status = c_int;

/// The few functions of CUDA's driver API that are needed, with the signatures of `cuda.h`.
struct Driver<'l> {
    init: Symbol<'l, unsafe extern "C" fn(c_uint) -> Status>,
    version: Symbol<'l, unsafe extern "C" fn(*mut c_int) -> Status>,
    count: Symbol<'l, unsafe extern "C" fn(*mut c_int) -> Status>,
    device: Symbol<'l, unsafe extern "C" fn(*mut c_int, c_int) -> Status>,
    name: Symbol<'l, unsafe extern "C" fn(*mut c_char, c_int, c_int) -> Status>,
    attribute: Symbol<'l, unsafe extern "C" fn(*mut c_int, c_int, c_int) -> Status>,
    error: Symbol<'l, unsafe extern "C" fn(Status, *mut *const c_char) -> Status>,
}

impl<'l> Driver<'l> {
    fn new(library: &'l Library) -> Result<Self, String> {
        // SAFETY: the types are those of `cuda.h`.
        unsafe {
            let load = |e: libloading::Error| {
                format!("{DRIVER} is not NVIDIA's driver: {}", unloadable(&e))
            };
            Ok(Self {
                init: library.get(c"cuInit").map_err(load)?,
                version: library.get(c"cuDriverGetVersion").map_err(load)?,
                count: library.get(c"cuDeviceGetCount").map_err(load)?,
                device: library.get(c"cuDeviceGet").map_err(load)?,
                name: library.get(c"cuDeviceGetName").map_err(load)?,
                attribute: library.get(c"cuDeviceGetAttribute").map_err(load)?,
                error: library.get(c"cuGetErrorString").map_err(load)?,
            })
        }
    }

    fn gpus(&self) -> Result<Gpus, String> {
        // SAFETY: as `cuda.h` has it; what is written to outlives the calls.
        unsafe {
            self.check((self.init)(0))?;
            let (mut version, mut count) = (0, 0);
            self.check((self.version)(&raw mut version))?;
            self.check((self.count)(&raw mut count))?;
            let all = (0..count).map(|number| self.gpu(number)).collect::<Result<_, _>>()?;
            Ok(Gpus { cuda: version.unsigned_abs(), all })
        }
    }

    /// # Safety
    /// After `cuInit`.
    unsafe fn gpu(&self, number: c_int) -> Result<Gpu, String> {
        let mut device = 0;
        let mut name = [0 as c_char; 128];
        let mut capability = [0; 2];
        // SAFETY: as `cuda.h` has it; the name is cut to its array and ends with a zero.
        unsafe {
            self.check((self.device)(&raw mut device, number))?;
            self.check((self.name)(name.as_mut_ptr(), name.len() as c_int - 1, device))?;
            for (value, attribute) in capability.iter_mut().zip(CAPABILITY) {
                self.check((self.attribute)(value, attribute, device))?;
            }
            let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
            Ok(Gpu { name, capability: (capability[0] * 10 + capability[1]).unsigned_abs() })
        }
    }

    fn check(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        // SAFETY: the text is the driver's own, for ever.
        let text = unsafe {
            (self.error)(status, &raw mut text);
            if text.is_null() {
                "no reason given".into()
            } else {
                CStr::from_ptr(text).to_string_lossy()
            }
        };
        Err(format!("NVIDIA's driver says: {text} (error {status})"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A driver made by the C compiler. Once it is in the process, its name finds it.
    const PRETENDED: &str = r#"
        int cuInit(unsigned flags) { return 0; }
        int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
        int cuDeviceGetCount(int *count) { *count = 2; return 0; }
        int cuDeviceGet(int *device, int number) { *device = number; return 0; }
        int cuDeviceGetName(char *name, int length, int device) {
            const char *text = device ? "Second" : "First";
            for (int i = 0; i < length && (name[i] = text[i]); i++);
            return 0;
        }
        int cuDeviceGetAttribute(int *value, int what, int device) {
            *value = what == 75 ? 9 - device : 6 * device;
            return 0;
        }
        int cuGetErrorString(int error, const char **text) { *text = "pretended"; return 0; }
    "#;

    #[test]
    fn the_gpus_of_a_driver_are_told_and_a_wrong_number_names_them() {
        // SAFETY: only asks whether there is one.
        if unsafe { Library::new(DRIVER) }.is_ok() {
            println!("skipped: this machine has a driver");
            return;
        }
        assert!(gpus().unwrap_err().contains("NVIDIA's driver is not installed"));
        let folder = tempfile::tempdir().unwrap();
        let (source, path) = (folder.path().join("driver.c"), folder.path().join(DRIVER));
        std::fs::write(&source, PRETENDED).unwrap();
        let name = format!("-Wl,-soname,{DRIVER}");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", &name, "-o"]).arg(&path).arg(&source);
        assert!(cc.status().is_ok_and(|status| status.success()), "a C compiler is needed");
        // SAFETY: made above.
        let pretended = unsafe { Library::new(&path) }.unwrap();
        let gpu_of = |name: &str, capability| Gpu { name: name.to_owned(), capability };
        let found = gpus().unwrap();
        assert_eq!(
            found,
            Gpus { cuda: 13020, all: vec![gpu_of("First", 90), gpu_of("Second", 86)] }
        );
        assert_eq!(gpu(1).unwrap(), gpu_of("Second", 86));
        assert_eq!(
            gpu(3).unwrap_err(),
            "there is no GPU with device-id 3; those here are: 0 (First), 1 (Second)"
        );
        std::mem::forget(pretended);
    }
}
