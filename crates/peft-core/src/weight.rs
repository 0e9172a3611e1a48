//! The weight of a frozen layer, whatever its values are kept in.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamId,
};
use burn::tensor::{DType, Device, Int, Shape, Tensor, module};
use peft_kernels::{Factor, PackedWeight};

/// A weight `[d_in, d_out]`: a parameter, or values in few bits that only ever serve as a constant.
///
/// A packed weight is a parameter to whoever visits it, with values that are unpacked when they are asked for. What maps it sees a stand-in
/// of the same name, shape and device: a packed weight can be renamed, moved, and made to train, which unpacks it for good; its values
/// cannot be changed in place, only replaced.
#[derive(Debug, Clone)]
pub struct Weight(Kept);

#[derive(Debug, Clone)]
enum Kept {
    Dense(Param<Tensor<2>>),
    Packed {
        id: ParamId,
        weight: PackedWeight,
        device: Device,
    },
}

impl Weight {
    /// A packed weight, named by the id; its products are computed on the device.
    #[must_use]
    pub fn packed(id: ParamId, weight: PackedWeight, device: &Device) -> Self {
        Self(Kept::Packed {
            id,
            weight,
            device: device.clone(),
        })
    }

    /// Which parameter it is.
    #[must_use]
    pub fn id(&self) -> ParamId {
        match &self.0 {
            Kept::Dense(param) => param.id,
            Kept::Packed { id, .. } => *id,
        }
    }

    /// `[d_in, d_out]`.
    #[must_use]
    pub fn dims(&self) -> [usize; 2] {
        match &self.0 {
            Kept::Dense(param) => {
                let shape = param.lazy_shape();
                [shape[0], shape[1]]
            }
            Kept::Packed { weight, .. } => weight.dims(),
        }
    }

    /// Where its products are computed.
    #[must_use]
    pub fn device(&self) -> Device {
        match &self.0 {
            Kept::Dense(param) => param.lazy_device(),
            Kept::Packed { device, .. } => device.clone(),
        }
    }

    /// The type of [`Self::val`]: that of the parameter, f32 of a packed weight.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Kept::Dense(param) => param.val().dtype(),
            Kept::Packed { .. } => DType::F32,
        }
    }

    /// Draws a parameter that Burn would draw at its first use: the order of the layers, and not of their uses, then decides which values
    /// each gets.
    pub(crate) fn initialize(&self) {
        if let Kept::Dense(param) = &self.0 {
            drop(param.val());
        }
    }

    /// The packed form, where it has one.
    #[must_use]
    pub fn as_packed(&self) -> Option<&PackedWeight> {
        match &self.0 {
            Kept::Dense(_) => None,
            Kept::Packed { weight, .. } => Some(weight),
        }
    }

    /// All values, shape `[d_in, d_out]`. Those of a packed weight are unpacked by each call: where a product will do, take
    /// [`Self::factor`].
    #[must_use]
    pub fn val(&self) -> Tensor<2> {
        match &self.0 {
            Kept::Dense(param) => param.val(),
            Kept::Packed { weight, device, .. } => weight.dense(device),
        }
    }

    /// The weight as the second factor of a product.
    #[must_use]
    pub fn factor(&self) -> Factor {
        match &self.0 {
            Kept::Dense(param) => param.val().into(),
            Kept::Packed { weight, .. } => weight.clone().into(),
        }
    }

    /// The transposed weight as the second factor of a product: a table of embeddings that serves as the output layer.
    #[must_use]
    pub fn transposed_factor(&self) -> Factor {
        match &self.0 {
            Kept::Dense(param) => param.val().transpose().into(),
            Kept::Packed { weight, .. } => weight.transpose().into(),
        }
    }

    /// The transposed weight as a frozen parameter of its own.
    #[must_use]
    pub fn transposed(&self, id: ParamId) -> Self {
        match &self.0 {
            Kept::Dense(param) => {
                let param = Param::initialized(id, param.val().transpose());
                param.set_require_grad(false).into()
            }
            Kept::Packed { weight, device, .. } => Self::packed(id, weight.transpose(), device),
        }
    }

    /// Rows of a table by their ids, shape `[batch, seq, d_out]`.
    #[must_use]
    pub fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        match &self.0 {
            Kept::Dense(param) => module::embedding(param.val(), ids),
            Kept::Packed { weight, .. } => {
                let [batch, seq] = ids.dims();
                let rows = weight.lookup(&ids.reshape([batch * seq]));
                let width = rows.dims()[1];
                rows.reshape([batch, seq, width])
            }
        }
    }

    /// The same parameter with other values, which are kept as they are given.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        Self(Kept::Dense(self.into_param().map(change)))
    }

    /// A parameter of the values, those of a packed weight unpacked.
    #[must_use]
    pub fn into_param(self) -> Param<Tensor<2>> {
        match self.0 {
            Kept::Dense(param) => param,
            Kept::Packed { id, weight, device } => {
                Param::initialized(id, weight.dense(&device)).set_require_grad(false)
            }
        }
    }

    fn each(self, change: impl FnOnce(Param<Tensor<2>>) -> Param<Tensor<2>>) -> Self {
        match self.0 {
            Kept::Dense(param) => Self(Kept::Dense(change(param))),
            packed @ Kept::Packed { .. } => Self(packed),
        }
    }

    fn on(self, device: &Device) -> Self {
        match self.0 {
            Kept::Packed { id, weight, .. } => Self::packed(id, weight, device),
            dense @ Kept::Dense(_) => Self(dense),
        }
    }
}

impl From<Param<Tensor<2>>> for Weight {
    fn from(param: Param<Tensor<2>>) -> Self {
        Self(Kept::Dense(param))
    }
}

/// A constant that no model knows by name.
impl From<Tensor<2>> for Weight {
    fn from(value: Tensor<2>) -> Self {
        Param::initialized(ParamId::new(), value)
            .set_require_grad(false)
            .into()
    }
}

/// A parameter that says it has the shape `[d_in, d_out]`; whoever takes its value, as Burn's optimizers do of every parameter, gets a
/// single zero.
fn stand_in(id: ParamId, dims: [usize; 2], device: &Device) -> Param<Tensor<2>> {
    let zero =
        |device: &Device, trains: bool| Tensor::<2>::zeros([1, 1], device).set_require_grad(trains);
    Param::uninitialized(id, zero, device.clone(), false, Shape::from(dims))
}

impl ModuleDisplayDefault for Weight {
    fn content(&self, content: Content) -> Option<Content> {
        match &self.0 {
            Kept::Dense(param) => param.content(content),
            Kept::Packed { weight, .. } => {
                let [d_in, d_out] = weight.dims();
                content
                    .add_formatted(&format!("{} [{d_in}, {d_out}]", weight.format()))
                    .optional()
            }
        }
    }
}

impl ModuleDisplay for Weight {}

impl Module for Weight {
    fn collect_devices(&self, mut devices: Devices) -> Devices {
        match &self.0 {
            Kept::Dense(param) => param.collect_devices(devices),
            Kept::Packed { device, .. } => {
                if !devices.contains(device) {
                    devices.push(device.clone());
                }
                devices
            }
        }
    }

    fn fork(self, device: &Device) -> Self {
        self.on(device).each(|param| param.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.on(device).each(|param| param.to_device(device))
    }

    fn train(self) -> Self {
        match self.0 {
            Kept::Packed { id, weight, device } => Self::packed(id, weight, &device.autodiff()),
            Kept::Dense(param) => Self(Kept::Dense(param.train())),
        }
    }

    fn valid(&self) -> Self {
        match &self.0 {
            Kept::Packed { id, weight, device } => {
                Self::packed(*id, weight.clone(), &device.clone().without_autodiff())
            }
            Kept::Dense(param) => Self(Kept::Dense(param.valid())),
        }
    }

    fn materialize(self) -> Self {
        self.each(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        match &self.0 {
            Kept::Dense(param) => Module::visit(param, visitor),
            Kept::Packed { id, weight, device } => {
                let (shape, weight) = (Shape::from(weight.dims()), weight.clone());
                let unpack = move |device: &Device, _: bool| weight.dense(device);
                // A constant, whose values no gradient reaches.
                let plain = device.clone().without_autodiff();
                let param = Param::uninitialized(*id, unpack, plain, false, shape);
                Module::visit(&param, visitor);
            }
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        match self.0 {
            Kept::Dense(param) => Self(Kept::Dense(Module::map(param, mapper))),
            Kept::Packed { id, weight, device } => {
                let mapped = Module::map(stand_in(id, weight.dims(), &device), mapper);
                let packed = Self::packed(mapped.id, weight, &device);
                match mapped.is_require_grad() {
                    true => Self(Kept::Dense(packed.into_param().set_require_grad(true))),
                    false => packed,
                }
            }
        }
    }
}
