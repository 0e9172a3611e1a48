//! The trait that every method's trainable state implements.

mod erased;

use std::borrow::Cow;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, FloatDType, Int, Tensor};
use peft_format::Site;
use peft_kernels::{Factor, LowRankPair, linear, linear_with_pair, product, scaled_product};

use crate::names::Layout;
use crate::pass::Pass;
use crate::weight::Weight;

pub use erased::AnyAdapter;

/// The frozen layer under an adapter, in Burn's orientation.
#[derive(Debug)]
pub struct BaseLinear<'a> {
    /// Where the layer is and how large.
    pub site: &'a Site,
    /// Stored weight, shape `[d_in, d_out]`.
    pub weight: &'a Weight,
    /// Bias, shape `[d_out]`.
    pub bias: Option<&'a Param<Tensor<1>>>,
}

impl BaseLinear<'_> {
    /// `x W`, without the bias. Shapes: `[rows, d_in]` to `[rows, d_out]`.
    ///
    /// The product is computed in the type of the weight and given in the type of `x`.
    #[must_use]
    pub fn product(&self, x: Tensor<2>) -> Tensor<2> {
        let wanted = x.dtype();
        let x = cast(x, self.weight.dtype());
        cast(product(x, self.weight.factor()), wanted)
    }

    /// `(x c) W` for `c [d_in]`, without the bias; shape `[rows, d_out]`, in f32.
    #[must_use]
    pub fn scaled_product(&self, x: Tensor<2>, scales: Tensor<1>) -> Tensor<2> {
        match self.weight.factor() {
            Factor::Dense(weight) => scaled_product(x, scales, cast(weight, DType::F32)),
            packed @ Factor::Packed(_) => product(x * scales.unsqueeze(), packed),
        }
    }

    /// `x W + bias`, shape `[rows, d_out]`, in the type of `x`.
    #[must_use]
    pub fn output(&self, x: Tensor<2>) -> Tensor<2> {
        match self.plain_bias(&x) {
            Some(bias) => linear(x, self.weight.factor(), bias),
            None => self.add_bias(self.product(x)),
        }
    }

    /// `x W + bias` and a low-rank product beside it, shape `[rows, d_out]`.
    #[must_use]
    pub fn output_with(&self, x: Tensor<2>, pair: LowRankPair) -> Tensor<2> {
        match self.plain_bias(&x) {
            Some(bias) => linear_with_pair(x, self.weight.factor(), bias, pair),
            None => self.add_bias(self.product_with(x, pair)),
        }
    }

    /// `x W` and a low-rank product beside it, shape `[rows, d_out]`.
    #[must_use]
    pub fn product_with(&self, x: Tensor<2>, pair: LowRankPair) -> Tensor<2> {
        if self.plain_bias(&x).is_some() {
            return linear_with_pair(x, self.weight.factor(), None, pair);
        }
        self.product(x.clone()) + pair.output(x)
    }

    /// The bias, or none, where weight and bias are of the type of `x` and need no cast.
    #[expect(
        clippy::option_option,
        reason = "no bias is not the same as a bias that must be cast"
    )]
    fn plain_bias(&self, x: &Tensor<2>) -> Option<Option<Tensor<1>>> {
        let bias = self.bias.map(Param::val);
        let plain = bias.as_ref().is_none_or(|bias| bias.dtype() == x.dtype());
        (plain && self.weight.dtype() == x.dtype()).then_some(bias)
    }

    /// Adds the bias, if there is one, to `y` of shape `[rows, d_out]`, in the type of `y`.
    #[must_use]
    pub fn add_bias(&self, y: Tensor<2>) -> Tensor<2> {
        match self.bias_as(y.dtype()) {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    }

    /// The bias, if there is one, in a float type: that of the output it is to be added to.
    #[must_use]
    pub fn bias_as(&self, dtype: DType) -> Option<Tensor<1>> {
        self.bias.map(|bias| cast(bias.val(), dtype))
    }
}

/// The tensor in a float type; itself where it has that type already.
#[must_use]
pub fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype {
        x
    } else {
        x.cast(FloatDType::from(dtype))
    }
}

/// How one parameter of an adapter is called in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorName {
    /// Path of the field inside the adapter's module, for example `a`.
    pub field: Cow<'static, str>,
    /// Name after the site's path in a Hugging Face file, for example `lora_A.weight`.
    pub file: Cow<'static, str>,
    /// How the file's axes relate to the tensor in memory.
    pub layout: Layout,
    /// Whether it trains; others are frozen state that belongs to the adapter.
    pub trains: bool,
    /// Whether the adapter has it once for all its sites, as VeRA has its two matrices: every site holds the same values, which are
    /// counted and saved once, under no site's path. See [`crate::Method::common`].
    pub common: bool,
}

impl TensorName {
    /// A tensor that trains.
    #[must_use]
    pub const fn trained(field: &'static str, file: &'static str, layout: Layout) -> Self {
        Self {
            field: Cow::Borrowed(field),
            file: Cow::Borrowed(file),
            layout,
            trains: true,
            common: false,
        }
    }

    /// A tensor that belongs to the adapter and stays as it is.
    #[must_use]
    pub const fn frozen(field: &'static str, file: &'static str, layout: Layout) -> Self {
        let mut name = Self::trained(field, file, layout);
        name.trains = false;
        name
    }

    /// The same tensor, which the adapter has once for all its sites.
    #[must_use]
    pub const fn common(mut self) -> Self {
        self.common = true;
        self
    }

    /// The name in a list of like ones, one for each of a number of parts: `{list}.{index}.{field}`, in files with `.{index}` after the
    /// first segment, for example `lora_A.2.weight`.
    #[must_use]
    pub fn nth(&self, list: &str, index: usize) -> Self {
        let (first, rest) = self.file.split_once('.').unwrap_or((&self.file, ""));
        let dot = if rest.is_empty() { "" } else { "." };
        Self {
            field: format!("{list}.{index}.{}", self.field).into(),
            file: format!("{first}.{index}{dot}{rest}").into(),
            ..self.clone()
        }
    }
}

/// Low-rank pairs inside an adapter, side by side in two parameters: `delta_i = scale * a_i b_i`, with `a_i` the i-th of `count` blocks of
/// columns of `a`, and `b_i` the i-th block of rows of `b`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FactorPair {
    /// Parameter of shape `[d_in, count * rank]`.
    pub a: ParamId,
    /// Parameter of shape `[count * rank, d_out]`.
    pub b: ParamId,
    /// Factor of the products.
    pub scale: f64,
    /// How many pairs the two parameters hold; 1 but for mixtures of experts.
    pub count: usize,
}

/// A number that a method knows of its adapter at one site, for people who look into it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Fact {
    /// What it is, for example `change of the magnitudes`.
    pub name: &'static str,
    /// How large it is.
    pub value: f64,
}

/// The trainable state of one method at one site.
///
/// Implementations derive Burn's `Module` (float and integer parameters of rank 1 to 4), and with that travel through
/// devices, optimizers and files without further code. Only the mathematics is theirs to write.
pub trait Adapter: Module + Sync + 'static {
    /// File names of every parameter that is saved; how many there are may depend on the adapter's options.
    fn tensors(&self) -> Vec<TensorName>;

    /// What the adapter adds to the layer's output; never forms the dense weight.
    ///
    /// `x` has shape `[rows, d_in]`, `product` is `x W` of shape `[rows, d_out]`, and so is the result.
    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2>;

    /// The adapted layer's whole output: `x W + bias + delta(x)`, shape `[rows, d_out]`.
    ///
    /// Override it where a method reaches the output in fewer operations than through [`Self::delta`].
    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        let product = base.product(x.clone());
        let delta = self.delta(x, &product, base, pass);
        base.add_bias(product + delta)
    }

    /// The weight that reproduces the adapter without it, shape `[d_in, d_out]`; `weight` and the result are f32.
    ///
    /// # Errors
    /// The reason, when the forward depends on the input and no single weight exists.
    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str>;

    /// Whether the adapter has no use for the layer's own product, which computes the whole output by itself.
    fn replaces_base(&self) -> bool {
        false
    }

    /// The bias that goes with the effective weight, shape `[d_out]`; `bias` and the result are f32. Most methods leave it alone.
    fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        bias
    }

    /// Whether its effective bias is more than a multiple of the layer's: over a layer without a bias no weight says the same then.
    fn needs_bias(&self) -> bool {
        false
    }

    /// What the adapter adds to rows that are looked up in an embedding's table, shape `[ids, d_out]`.
    ///
    /// `None` where the method does not adapt embeddings; such a method refuses the site when it is attached.
    fn lookup(&self, ids: Tensor<1, Int>, base: &BaseLinear<'_>) -> Option<Tensor<2>> {
        let _ = (ids, base);
        None
    }

    /// The adapter as files hold it, where that is another one than this.
    fn stored(&self) -> Option<AnyAdapter> {
        None
    }

    /// This adapter with the values of its stored form; called only where [`Self::stored`] gives one.
    #[must_use]
    fn restored(&self, _stored: &AnyAdapter) -> Self {
        self.clone()
    }

    /// Whether values that were read from a folder belong to this frozen layer; called once after reading.
    ///
    /// # Errors
    /// What does not belong together.
    fn check_base(&self, _base: &BaseLinear<'_>) -> Result<(), String> {
        Ok(())
    }

    /// What the method knows of itself beyond any weight's change, over the frozen `weight [d_in, d_out]`.
    fn facts(&self, _weight: Tensor<2>) -> Vec<Fact> {
        Vec::new()
    }

    /// The update as a product: `(A [d_in, k], B [k, d_out])` with `W' = W + A B`, where the method has that exactly.
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        None
    }

    /// The low-rank pairs inside, for transforms that need both factors together.
    fn pairs(&self) -> Vec<FactorPair> {
        Vec::new()
    }
}
