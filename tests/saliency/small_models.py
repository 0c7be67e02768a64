"""Small models that know nothing of cuts: their layers have names, and no method of theirs is a head."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

IMAGE = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
TRACED: list[str] = []  # one entry for each time that a Python function of a model is traced


def variables_of(module, seed=0, **arguments):
    return jax.jit(lambda key: module.init(key, IMAGE, **arguments))(jax.random.key(seed))


class Block(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, train=False):
        y = nn.Conv(self.width, (3, 3), use_bias=False, name="conv")(x)
        y = nn.BatchNorm(use_running_average=not train, name="norm")(y)
        return nn.relu(y + nn.Conv(self.width, (1, 1), name="shortcut")(x))


class ResNet(nn.Module):
    """Two blocks, and a head with a hidden layer. It returns a tuple."""

    config: dict | None = None  # unhashable, as Hugging Face's configs are

    @nn.compact
    def __call__(self, image, train):
        TRACED.append("ResNet")
        x = Block(8, name="block1")(image, train)
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = Block(8, name="block2")(x, train)
        hidden = jnp.tanh(nn.Dense(6, name="hidden")(x.mean((1, 2))))
        return nn.Dense(3, name="logits")(hidden), {"hidden": hidden, "map": x}


class UNet(nn.Module):
    """Its last layer sees the inner layer's map and, around it, the first layer's."""

    @nn.compact
    def __call__(self, image):
        outer = nn.relu(nn.Conv(4, (3, 3), name="outer")(image))
        inner = nn.relu(nn.Conv(4, (3, 3), strides=2, name="inner")(outer))
        up = jax.image.resize(inner, outer.shape, "nearest")
        return nn.Conv(2, (3, 3), name="last")(jnp.concatenate([up, outer], -1)).mean((1, 2))


class Twice(nn.Module):
    """One layer that is called two times, with a tanh between."""

    @nn.compact
    def __call__(self, image):
        shared = nn.Conv(3, (3, 3), name="shared")
        x = jnp.tanh(shared(image))
        return nn.Dense(2, name="logits")(jnp.tanh(shared(x)).mean((1, 2)))


class Step(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        x = nn.relu(nn.Conv(4, (3, 3), name="first")(x))
        return nn.relu(nn.Conv(4, (3, 3), name="second")(x)), None


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Step(name="step")(x)[0]


class Transformed(nn.Module):
    """Blocks under nn.remat, nn.jit (two of one kind, which share their trace) and nn.scan."""

    @nn.compact
    def __call__(self, image):
        x = nn.Conv(4, (4, 4), strides=4, name="patches")(image)
        x = nn.remat(Pair)(name="saved")(x)
        compiled = nn.jit(Pair)
        x = compiled(name="compiled1")(x)
        x = compiled(name="compiled2")(x)
        scanned = nn.scan(Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = scanned(name="scanned")(x, None)
        return nn.Dense(2, name="logits")(nn.LayerNorm(name="norm")(x).mean((1, 2)))


class Encoder(nn.Module):
    """A block of a transformer. It returns a tuple of several arrays."""

    @nn.compact
    def __call__(self, x):
        attended = nn.MultiHeadDotProductAttention(2, name="attention")(nn.LayerNorm(name="norm1")(x))
        x = x + attended
        return x + nn.Dense(8, name="mlp")(nn.gelu(nn.Dense(8)(nn.LayerNorm(name="norm2")(x)))), attended


class ViT(nn.Module):
    """Patches of 4 pixels, a class token that alone is read at the end, two blocks."""

    @nn.compact
    def __call__(self, image):
        TRACED.append("ViT")
        patches = nn.Conv(8, (4, 4), strides=4, name="patches")(image)
        patches = patches.reshape(len(image), -1, 8) + self.param("places", nn.initializers.normal(1), (1, 16, 8))
        token = self.param("class_token", nn.initializers.normal(1), (1, 1, 8))
        x = jnp.concatenate([jnp.broadcast_to(token, (len(image), 1, 8)), patches], 1)
        for number in range(2):
            x, _ = Encoder(name=f"block_{number}")(x)
        return nn.Dense(3, name="logits")(nn.LayerNorm(name="norm")(x)[:, 0])


class NnxBlock(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs)
        self.mlp = nnx.Sequential(nnx.Linear(8, 8, rngs=rngs), nnx.gelu, nnx.Linear(8, 8, rngs=rngs))

    def __call__(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.mlp(x)


class NnxViT(nnx.Module):
    """As `ViT`, in NNX, with a BatchNorm and dropout on the patches."""

    def __init__(self, rngs):
        self.patches = nnx.Conv(3, 8, (4, 4), strides=4, rngs=rngs)
        self.bn, self.dropout = nnx.BatchNorm(8, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
        self.class_token = nnx.Param(jax.random.normal(rngs.params(), (1, 1, 8)))
        self.blocks = nnx.List([NnxBlock(rngs) for _ in range(2)])
        self.logits = nnx.Dict({"linear": nnx.Linear(8, 3, rngs=rngs)})
        self.unused = nnx.Linear(1, 1, rngs=rngs)

    def __call__(self, image):
        TRACED.append("NnxViT")
        patches = self.dropout(self.bn(self.patches(image))).reshape(len(image), -1, 8)
        token = jnp.broadcast_to(self.class_token[...], (len(image), 1, 8))
        x = jnp.concatenate([token, patches], 1)
        for block in self.blocks:
            x = block(x)
        return self.logits["linear"](x[:, 0])


class NnxTwice(nnx.Module):
    """One layer called two times, and one inside of nnx.remat."""

    def __init__(self, rngs):
        self.shared = nnx.Conv(3, 3, (3, 3), rngs=rngs)
        self.saved = nnx.Conv(3, 3, (3, 3), rngs=rngs)

    def __call__(self, image):
        x = jnp.tanh(self.shared(jnp.tanh(self.shared(image))))
        return nnx.remat(lambda layer, x: layer(x))(self.saved, x).mean((1, 2))


def nnx_model(kind, seed=0):
    model = kind(nnx.Rngs(seed))
    model.eval()
    return model
