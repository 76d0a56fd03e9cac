"""The building blocks of the mobile families, as functions `x = block(x, ..., name=...)` on Keras tensors.

Every block names its layers from its own name: `block_3_expand`, `block_3_expand_bn`, `block_3_expand_relu6`.
"""

from keras_mobilenets.blocks.attention import multi_head_attention as multi_head_attention
from keras_mobilenets.blocks.attention import multi_query_attention as multi_query_attention
from keras_mobilenets.blocks.bottleneck import bottleneck as bottleneck
from keras_mobilenets.blocks.bottleneck import residual_sum as residual_sum
from keras_mobilenets.blocks.branches import branched_conv as branched_conv
from keras_mobilenets.blocks.branches import channel_mixer as channel_mixer
from keras_mobilenets.blocks.branches import repvit_block as repvit_block
from keras_mobilenets.blocks.channels import make_divisible as make_divisible
from keras_mobilenets.blocks.channels import scaled as scaled
from keras_mobilenets.blocks.classifier import distilled_classifier as distilled_classifier
from keras_mobilenets.blocks.convolution import BN_EPSILON as BN_EPSILON
from keras_mobilenets.blocks.convolution import BN_MOMENTUM as BN_MOMENTUM
from keras_mobilenets.blocks.convolution import activation as activation
from keras_mobilenets.blocks.convolution import batch_norm as batch_norm
from keras_mobilenets.blocks.convolution import channel_scale as channel_scale
from keras_mobilenets.blocks.convolution import conv_bn as conv_bn
from keras_mobilenets.blocks.convolution import depthwise_bn as depthwise_bn
from keras_mobilenets.blocks.custom_layers import AttentionBias as AttentionBias
from keras_mobilenets.blocks.custom_layers import BilinearResizing as BilinearResizing
from keras_mobilenets.blocks.custom_layers import ChannelSlice as ChannelSlice
from keras_mobilenets.blocks.custom_layers import MatrixProduct as MatrixProduct
from keras_mobilenets.blocks.custom_layers import NearestResizing as NearestResizing
from keras_mobilenets.blocks.custom_layers import PhasesToMap as PhasesToMap
from keras_mobilenets.blocks.custom_layers import RowsToMap as RowsToMap
from keras_mobilenets.blocks.families.convnext import convnext_block as convnext_block
from keras_mobilenets.blocks.families.convnext import layer_norm as layer_norm
from keras_mobilenets.blocks.families.ghost import dfc_attention as dfc_attention
from keras_mobilenets.blocks.families.ghost import ghost_bottleneck as ghost_bottleneck
from keras_mobilenets.blocks.families.ghost import ghost_module as ghost_module
from keras_mobilenets.blocks.families.metaformer import attention_block as attention_block
from keras_mobilenets.blocks.families.metaformer import group_norm as group_norm
from keras_mobilenets.blocks.families.metaformer import poolformer_block as poolformer_block
from keras_mobilenets.blocks.families.metaformer import pooling_block as pooling_block
from keras_mobilenets.blocks.families.mobilevit import mobilevit_block as mobilevit_block
from keras_mobilenets.blocks.families.mobilevit import transformer as transformer
from keras_mobilenets.blocks.families.shuffle import channel_shuffle as channel_shuffle
from keras_mobilenets.blocks.families.shuffle import channel_split as channel_split
from keras_mobilenets.blocks.families.shuffle import grouped_shuffle_unit as grouped_shuffle_unit
from keras_mobilenets.blocks.families.shuffle import split_shuffle_unit as split_shuffle_unit
from keras_mobilenets.blocks.families.wavelet import wavelet_conv as wavelet_conv
from keras_mobilenets.blocks.residual import fused_inverted_residual as fused_inverted_residual
from keras_mobilenets.blocks.residual import inverted_residual as inverted_residual
from keras_mobilenets.blocks.residual import universal_inverted_bottleneck as universal_inverted_bottleneck
from keras_mobilenets.blocks.separable import depthwise_separable as depthwise_separable
from keras_mobilenets.blocks.separable import separable_bn as separable_bn
from keras_mobilenets.blocks.squeeze_excitation import squeeze_excite as squeeze_excite
from keras_mobilenets.blocks.upsampling import upsample_like as upsample_like
