//! The kernel of the step, and how it is launched.

use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::AdamWKernels;
use crate::adamw::Factors;
use crate::cube::launch::{address, contiguous, in_place_of, lanes, over_units};
use crate::profile;

impl AdamWKernels for CubeBackend {
    fn cube_adamw(
        weight: CubeTensor,
        grad: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        how: Factors,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [weight, grad, first, second] = [weight, grad, first, second].map(contiguous);
        let count = weight.meta.num_elements();
        let _call = profile::call("adamw on cube", &[], 7 * count);
        let (client, dtype, lanes) = (weight.client.clone(), weight.dtype, lanes(&weight));
        let (cubes, units) = over_units(&client, count / lanes);
        let new_weight = in_place_of(&weight, 0);
        let new_first = in_place_of(&first, 2);
        let new_second = in_place_of(&second, 3);
        adamw_kernel::launch(
            &client,
            cubes,
            units,
            address(&[&weight]),
            lanes,
            weight.into_tensor_arg(),
            grad.into_tensor_arg(),
            first.into_tensor_arg(),
            second.into_tensor_arg(),
            new_weight.argument,
            new_first.argument,
            new_second.argument,
            how.lr,
            how.kept,
            how.beta1,
            how.beta2,
            how.epsilon,
            how.corrections[0],
            how.corrections[1],
            dtype_to_storage_type(dtype),
        );
        (new_weight.tensor, new_first.tensor, new_second.tensor)
    }
}

#[cube(launch, address_type = "dynamic")]
#[allow(
    clippy::too_many_arguments,
    reason = "a kernel lists its tensors and numbers one by one"
)]
fn adamw_kernel<F: Float, N: Size>(
    weight: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    first: &Tensor<Vector<F, N>>,
    second: &Tensor<Vector<F, N>>,
    new_weight: &mut Tensor<Vector<F, N>>,
    new_first: &mut Tensor<Vector<F, N>>,
    new_second: &mut Tensor<Vector<F, N>>,
    lr: f32,
    kept: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    first_correction: f32,
    second_correction: f32,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= new_weight.len() {
        terminate!();
    }
    let one = 1.0f32;
    let g = Vector::<f32, N>::cast_from(grad[at]);
    let m =
        Vector::<f32, N>::cast_from(first[at]) * Vector::new(beta1) + g * Vector::new(one - beta1);
    let v = Vector::<f32, N>::cast_from(second[at]) * Vector::new(beta2)
        + g * g * Vector::new(one - beta2);
    let root = (v / Vector::new(second_correction)).sqrt();
    let direction = m / Vector::new(first_correction) / (root + Vector::new(epsilon));
    let w = Vector::<f32, N>::cast_from(weight[at]) * Vector::new(kept);
    new_weight[at] = Vector::cast_from(w - direction * Vector::new(lr));
    new_first[at] = Vector::cast_from(m);
    new_second[at] = Vector::cast_from(v);
}
