"""The masker's shape, range, initial values, receptive field and cost."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.models.masker import Masker
from align_jax.models.resnet import resnet


@functools.cache
def initialised():
    """(variables, image, mask) of the default masker before training, on two images."""

    @jax.jit
    def run():
        image = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
        mask, variables = Masker().init_with_output(jax.random.key(1), image, train=False)
        return variables, image, mask

    return run()


@functools.partial(jax.jit, static_argnames="train")
def masks(variables, image, train=False):
    return Masker().apply(variables, image, train)


def confident(variables):
    """The same masker with a last layer a hundred times larger, so that masks are far from 0.5."""
    last = jax.tree.map(lambda leaf: 100 * leaf, variables["params"]["mask"])
    return {"params": {**variables["params"], "mask": last}}


@pytest.mark.parametrize(("widths", "shape"), [((16, 32, 64), (32, 48)), ((4, 8), (20, 12)), ((4,), (6, 10))])
def test_mask_has_the_image_s_resolution(widths, shape):
    masker, image = Masker(widths), jnp.zeros((2, *shape, 3))
    mask = jax.eval_shape(lambda: masker.init_with_output(jax.random.key(0), image, train=True)[0])
    assert (mask.shape, mask.dtype) == ((2, *shape, 1), jnp.float32)


def test_starts_near_one_half_but_not_constant():
    _, _, mask = initialised()
    assert jnp.abs(mask - 0.5).max() < 0.2
    assert mask.std() > 1e-4  # a constant mask would have nothing to learn from but its bias


def test_stays_between_0_and_1_where_it_is_sure():
    variables, image, _ = initialised()
    mask = masks(confident(variables), 10 * image)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask.max() - mask.min() > 0.5


def test_bfloat16_computes_in_half_and_answers_in_float32():
    variables, image, exact = initialised()
    half = Masker(dtype=jnp.bfloat16)
    mask = jax.jit(lambda v, x: half.apply(v, x, train=False))(variables, image)
    assert mask.dtype == jnp.float32
    assert 0 < jnp.abs(mask - exact).max() < 0.01
    initial = jax.eval_shape(lambda: half.init(jax.random.key(0), image, train=False))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(initial))


def test_mask_depends_on_its_own_image_alone_in_training_and_evaluation():
    variables, image, _ = initialised()
    assert variables.keys() == {"params"}  # no statistics
    variables, others = confident(variables), image.at[1:].set(7.0)
    np.testing.assert_array_equal(masks(variables, image, train=True)[0], masks(variables, others, train=True)[0])
    np.testing.assert_array_equal(masks(variables, image, train=True), masks(variables, image))


def test_a_pixel_of_the_mask_sees_far_and_every_parameter_learns():
    variables, image, _ = initialised()
    image = jnp.tile(image, (1, 2, 2, 1))

    @jax.jit
    def gradients(variables, image):
        mask, pullback = jax.vjp(masks, variables, image)
        _, seen = pullback(jnp.zeros_like(mask).at[:, 64, 64].set(1))
        learnt, _ = pullback(jnp.ones_like(mask))
        return seen, learnt

    seen, learnt = gradients(variables, image)
    rows = np.flatnonzero(np.abs(seen).sum((0, 2, 3)))
    assert rows.max() - rows.min() >= 80  # with the dilated convolution; 70 if it were an ordinary one
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(learnt))


def test_fine_detail_reaches_the_mask_by_the_finest_skip():
    """A change of two pixels moves the mask there more than elsewhere; a bottleneck alone could not locate it."""
    variables, image, _ = initialised()
    variables = confident(variables)
    change = np.abs(masks(variables, image.at[:, 32:34, 32:34].add(3.0)) - masks(variables, image))[0, :, :, 0]
    assert change[31:35, 31:35].mean() > 5 * change[40:48, 40:48].mean()


def test_costs_under_a_tenth_of_resnet50_at_224_pixels():
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)

    def flops(model):
        variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(image.shape), train=False))
        forward = jax.jit(lambda variables, image: model.apply(variables, image, train=False))
        # A CPU's program computes some convolutions with fewer products.
        return forward.trace(variables, image).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]

    resnet50 = flops(resnet("resnet50", 1000))
    assert 7e9 < resnet50 < 9e9  # 4.1 billion multiply-adds: the count is of the right thing
    assert flops(Masker()) < 0.1 * resnet50


@pytest.mark.parametrize("shape", [(60, 64), (64, 60)])
def test_indivisible_image_is_refused_in_one_sentence(shape):
    with pytest.raises(ValueError, match=rf"multiples of 8, not {shape[0]} x {shape[1]}") as error:
        Masker().init(jax.random.key(0), jnp.zeros((1, *shape, 3)), train=False)
    assert "\n" not in str(error.value)
