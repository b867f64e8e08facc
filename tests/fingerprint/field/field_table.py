# ruff: noqa: E501
"""Pairs of preprocessing functions rebuilt from public reports, and what comparing them may say.

A row: pair | training side | inference side | kinds of which one must be named | kinds that may be named beside it |
probes | where such a pair is reported. An empty fourth field means that both sides do the same, so that any mismatch is
a false accusation. `equal` among the kinds allows that no mismatch is found; `unknown` that no cause is.

`KEPT` was drawn at random before any pair was run: these rows were run once after everything else was fixed.
"""

from __future__ import annotations

import random
from typing import NamedTuple

ROWS = """
s01 | same_values.torch_statistics | same_values.ncnn_statistics | | | | Tencent/ncnn 2119
s02 | same_values.by_net_scale_factor | same_values.by_division | | | | marcoslucianops/DeepStream-Yolo 358
s03 | same_values.insight | same_values.insight_blob | | | | deepinsight/insightface 2660
s04 | same_values.insight_go | same_values.insight | | | | georg-jung/FaceAiSharp 71 (a port)
s05 | same_values.insight_go | same_values.insight_blob | | | | LdDl/object-detection-opencv-rust 31
s06 | same_values.caffe_mode | same_values.caffe_mode_of_planes | | | | keras-team/keras 10279
s07 | same_values.prewhiten | same_values.prewhiten_one_pass | | | | TanFluent/facenet_opencv_dnn 3
s08 | same_values.int8_formula | same_values.int8_by_xor | | | | tensorflow/tflite-support 911
s09 | same_values.gray_to_three | same_values.gray_repeated | | | | ToTheBeginning/PuLID 138
s10 | same_values.by_table | same_values.by_formula | | | | openmv/openmv 1474
s11 | same_values.float_throughout | same_values.half_inside | | | | marcoslucianops/DeepStream-Yolo 358
s12 | same_values.keras_standardised | same_values.numpy_standardised | equal decoder | | | nyoki-mtl/keras-facenet 19
s13 | same_values.onnx_inside | same_values.onnx_outside | | | | open-mmlab/mmdetection 8255
s14 | same_resize.bilinear_cv2 | same_resize.bilinear_fixed_point | | | | Tencent/ncnn 5218
s15 | same_resize.bilinear_skimage | same_resize.bilinear_cv2 | | | | NVIDIA/gpu-rest-engine 27
s16 | same_resize.bilinear_scipy | same_resize.bilinear_fixed_point | | | | pytorch/vision 2950
s17 | same_resize.area_cv2 | same_resize.area_by_sums | | | | davidsandberg/facenet 901
s18 | same_resize.lanczos_pillow | same_resize.lanczos_numpy | | | | tf-coreml/tf-coreml 234
s19 | same_resize.nearest_pillow | same_resize.nearest_by_index | equal unknown | | | anhtuan85/Facial-expression-recognition 2
s20 | same_resize.centre_pillow | same_resize.centre_slices | | | | Tencent/ncnn 397
s21 | same_resize.longest_then_pad | same_resize.longest_on_canvas | | | | serengil/deepface 272
s22 | same_resize.padded_by_pillow | same_resize.padded_by_paste | | | | serengil/deepface 1054
s23 | same_resize.exif_by_library | same_resize.exif_by_tag | | | | facebookresearch/detectron2 262
s24 | same_resize.exif_by_tag | same_resize.exif_by_decoder | | | | open-mmlab/mmcv 805
s25 | same_resize.blob_crop | same_resize.crop_by_hand | | | | TanFluent/facenet_opencv_dnn 3
s26 | same_resize.bicubic_tensorflow | same_resize.bicubic_pillow | equal decoder | | | keras-team/keras-core 220
s27 | same_colour.hsv_cv2 | same_colour.hsv_numpy | | | | opencv/opencv 6594
s28 | same_colour.lab_cv2 | same_colour.lab_skimage | | | | juan-csv/face_liveness_detection-Anti-spoofing 24
s29 | same_colour.ycc_cv2 | same_colour.ycc_pillow | | | | rerun-io/rerun 7666
s30 | same_colour.gray_of_frame | same_colour.gray_of_rgb | | | | atulapra/Emotion-detection 14
s31 | same_colour.gray_of_image_bgr | same_colour.gray_of_frame | | | | blakeblackshear/frigate 23712
s32 | same_colour.nv12_cv2 | same_colour.nv12_numpy | | | nv12 | bytedeco/javacv 468
s33 | same_colour.yuyv_cv2 | same_colour.yuyv_numpy | | | yuyv | opencv/opencv 14163
s34 | same_colour.opaque_pillow | same_colour.opaque_sliced | | | | image-rs/image 2033
s35 | same_faces.five_skimage | same_faces.five_own_warp | | | | deepinsight/insightface 804
s36 | same_faces.five_by_pillow | same_faces.five_skimage | equal unknown | | | vectornguyen76/face-recognition 15
s37 | same_faces.five_own_warp | same_faces.five_by_pillow | equal unknown | | | deepinsight/insightface 2009
s38 | same_faces.wide_offset | same_faces.wide_table | | | | deepinsight/insightface 333
s39 | same_faces.eyes_rotation_matrix | same_faces.eyes_two_points | | | | nyoki-mtl/keras-facenet 19
s40 | same_faces.margin_mtcnn | same_faces.margin_sliced | | | | timesler/facenet-pytorch 62
s41 | same_faces.square_padded | same_faces.square_placed | | | | elucideye/drishti 366
s42 | same_faces.tight_rounded | same_faces.tight_roi | | | | Charrin/RetinaFace-Cpp 21
s43 | same_faces.five_brought_back | same_faces.five_own_warp | | | | opencv/opencv_zoo 285
s44 | same_faces.five_skimage | same_faces.five_cut_first | | | | matiasdelellis/facerecognition 140
v01 | wrong_values.imagenet | wrong_values.precedence | scale missing_normalization | mean value_range | | wkentaro/osam 83
v02 | wrong_values.imagenet | wrong_values.divided_twice | double_normalization scale value_range | mean | | 4uiiurz1/pytorch-nested-unet 62
v03 | wrong_values.imagenet | wrong_values.max_pixel_value_one | missing_normalization scale value_range | mean | | albumentations-team/albumentations 919
v04 | wrong_values.imagenet | wrong_values.means_only | scale missing_normalization | value_range mean | | junxnone/tio 144
v05 | wrong_values.half_statistics | wrong_values.imagenet | mean scale | value_range | | google-ai-edge/mediapipe 457
v06 | wrong_values.imagenet | wrong_values.statistics_in_bgr_order | mean scale | value_range | | openvinotoolkit/open_model_zoo 1872
v07 | wrong_values.unit | wrong_values.raw_bytes | missing_normalization value_range scale | | | serengil/deepface 889
v08 | wrong_values.unit | wrong_values.by_256 | scale equal | value_range | | xuebinqin/U-2-Net 118
v09 | wrong_values.insight_128 | wrong_values.insight_127_5 | scale equal | value_range | | luckycallor/InsightFace-tensorflow 4
v10 | wrong_values.insight_128 | wrong_values.insight_on_unit | double_normalization value_range scale | mean | | timesler/facenet-pytorch 183
v11 | wrong_values.retina | wrong_values.retina_means_swapped | mean | | | biubug6/Pytorch_Retinaface 58
v12 | wrong_values.retina | wrong_values.retina_on_rgb | channel_order | mean | | StanislasBertrand/RetinaFace-tf2 5
v13 | wrong_values.retina | wrong_values.retina_saturated | saturation | | | biubug6/Pytorch_Retinaface 58
v14 | wrong_values.retina | wrong_values.retina_wrapped | saturation | | | biubug6/Pytorch_Retinaface 58
v15 | wrong_values.fer_raw | wrong_values.fer_centred | double_normalization value_range scale missing_normalization | mean | | onnx/models 139
v16 | wrong_values.fer_unit | wrong_values.fer_truncated | saturation quantization dtype unknown value_range missing_normalization | scale | | python-pillow/Pillow 3159
v17 | wrong_values.fer_unit | wrong_values.fer_equalised | histogram | | | bytedeco/javacv 468
v18 | wrong_values.fer_autocontrast | wrong_values.fer_unit | histogram | | | NVIDIA/DIGITS 1369
v19 | wrong_values.fer_unit | wrong_values.fer_gamma | gamma | | | own, cf. shiguredo/sora-android-sdk-samples 3
v20 | wrong_values.fer_unit | wrong_values.fer_brightened | scale mean value_range | saturation mean scale value_range | | android/camera-samples 579
v21 | wrong_values.fer_unit | wrong_values.fer_inverted | scale value_range mean unknown | mean scale | | otfbm/maps 24
v22 | wrong_values.white_all | wrong_values.white_by_channel | histogram unknown | | | TanFluent/facenet_opencv_dnn 3
v23 | wrong_values.white_all | wrong_values.white_never | histogram | | | timesler/facenet-pytorch 146
v24 | wrong_values.white_never | wrong_values.white_all | histogram | | | davidsandberg/facenet 1091
v25 | wrong_values.unit_96 | wrong_values.min_max | histogram | | | NVIDIA/DIGITS 1369
v26 | wrong_values.by_maximum | wrong_values.unit_96 | histogram | | | deepinsight/insightface 555
v27 | wrong_values.int8_right | wrong_values.int8_zero_point_missing | quantization | | | tensorflow/tflite-support 911
v28 | wrong_values.int8_right | wrong_values.int8_cast | saturation quantization | | | openmv/openmv 1474
v29 | wrong_values.unit | wrong_values.rgb565 | quantization rounding unknown | | | tensorflow/tensorflow 4911
v30 | wrong_values.unit | wrong_values.half | dtype | rounding | | marcoslucianops/DeepStream-Yolo 358
v31 | wrong_values.unit | wrong_values.palette | quantization decoder unknown | | | google/deepdream 25
v32 | wrong_values.unit | wrong_values.dithered_noise | unknown | | | AIInAi/tf-insightface 14
v33 | wrong_values.unit | wrong_values.fixed_noise | unknown | | | AIInAi/tf-insightface 14
g01 | wrong_geometry.pillow_bilinear | wrong_geometry.cv2_linear | antialias resize_kernel | | | python-pillow/Pillow 2718
g02 | wrong_geometry.cv2_linear | wrong_geometry.pillow_bilinear | antialias resize_kernel | | | airo-ugent/airo-mono 89
g03 | wrong_geometry.cv2_area | wrong_geometry.cv2_linear | resize_kernel antialias | | | hollance/CoreMLHelpers 14
g04 | wrong_geometry.cv2_cubic | wrong_geometry.cv2_nearest | resize_kernel | | | python-pillow/Pillow 2718
g05 | wrong_geometry.cv2_nearest | wrong_geometry.pillow_nearest | resize_kernel pixel_centers | | | python-pillow/Pillow 2718
g06 | wrong_geometry.cv2_linear | wrong_geometry.blurred_first | antialias resize_kernel unknown | | | airo-ugent/airo-mono 89
g07 | wrong_geometry.cv2_linear | wrong_geometry.legacy_centres | pixel_centers | | | tensorflow/tensorflow 33691
g08 | wrong_geometry.corners_aligned | wrong_geometry.cv2_linear | pixel_centers | | | tensorflow/tfjs 1729
g09 | wrong_geometry.cv2_linear | wrong_geometry.muxed_first | resize_order unknown | | | marcoslucianops/DeepStream-Yolo 216
g10 | wrong_geometry.cv2_linear | wrong_geometry.small_first | resize_order unknown | | | Charrin/RetinaFace-Cpp 21
g11 | wrong_geometry.letterbox | wrong_geometry.stretched | aspect | | | wang-xinyu/tensorrtx 702
g12 | wrong_geometry.stretched | wrong_geometry.letterbox | aspect | | | Ma-Dan/YOLOv3-CoreML 11
g13 | wrong_geometry.letterbox | wrong_geometry.letterbox_black | aspect unknown | | | wang-xinyu/tensorrtx 702
g14 | wrong_geometry.letterbox | wrong_geometry.letterbox_top_left | shift | | | marcoslucianops/DeepStream-Yolo 262
g15 | wrong_geometry.letterbox | wrong_geometry.letterbox_never_enlarged | aspect size unknown | resize_order | | ultralytics/yolov5 scaleup
g16 | wrong_geometry.letterbox | wrong_geometry.letterbox_repeated_border | aspect unknown | | | otfbm/maps 24
g17 | wrong_geometry.letterbox | wrong_geometry.letterbox_bgr | channel_order | | | Geekgineer/YOLOs-CPP 101
g18 | wrong_geometry.letterbox | wrong_geometry.letterbox_by_warp | unknown shift aspect equal pixel_centers | | | ultralytics/ultralytics 23967
g19 | wrong_geometry.short_side_then_centre | wrong_geometry.short_side_no_margin | crop | | | Tencent/ncnn 397
g20 | wrong_geometry.short_side_then_centre | wrong_geometry.short_side_top_left | crop shift | | | Tencent/ncnn 397
g21 | wrong_geometry.centre_square | wrong_geometry.cv2_linear | crop aspect | | | hanleyweng/CoreML-in-ARKit 1
g22 | wrong_geometry.cv2_linear | wrong_geometry.sensor_turned | rotation | | | Geekgineer/YOLOs-CPP 101 (sensor)
g23 | wrong_geometry.cv2_linear | wrong_geometry.selfie | flip | | | opencv/opencv 14915
g24 | wrong_geometry.cv2_linear | wrong_geometry.upside_down | flip | | | asus4/tf-lite-unity-sample 69
g25 | wrong_geometry.cv2_linear | wrong_geometry.reshaped | layout | | | meijieru/crnn.pytorch 221
g26 | wrong_geometry.cv2_linear | wrong_geometry.axes_swapped | transpose | | | openvinotoolkit/openvino 1352
g27 | wrong_geometry.cv2_linear | wrong_geometry.channels_last | layout | | | openvinotoolkit/openvino 7672
g28 | wrong_geometry.cv2_linear | wrong_geometry.without_batch | batch_axis | | | deepcam-cn/Face-Anti-spoofing.pytorch 14
g29 | wrong_geometry.wide | wrong_geometry.wide_swapped | size transpose | | | Howave/RetinaFace-TVM 4
g30 | wrong_geometry.cv2_linear | wrong_geometry.exif_ignored | exif_orientation | | | mk-minchul/AdaFace 163
g31 | wrong_geometry.long_side_pasted | wrong_geometry.thumbnail | resize_order resize_kernel unknown equal size | decoder | | python-pillow/Pillow 4445
g32 | wrong_geometry.not_drafted | wrong_geometry.drafted | decoder unknown | resize_order | | NVIDIA/gpu-rest-engine 27
f01 | wrong_faces.arc | wrong_faces.arc_bgr | channel_order | | | blakeblackshear/frigate 23712
f02 | wrong_faces.arc | wrong_faces.arc_96_points | alignment_template shift | | | deepinsight/insightface 333
f03 | wrong_faces.arc | wrong_faces.arc_cubic | resize_kernel | | | deepinsight/insightface 804
f04 | wrong_faces.arc | wrong_faces.arc_repeated_border | aspect unknown alignment_template | | | deepinsight/insightface 804
f05 | wrong_faces.arc | wrong_faces.arc_mirrored | flip | | | iOS front camera, cf. opencv/opencv 14915
f06 | wrong_faces.arc | wrong_faces.arc_eyes_only | alignment_template | | | nyoki-mtl/keras-facenet 19
f07 | wrong_faces.arc | wrong_faces.arc_inverse | alignment_template unknown | | | DungLuongTuan/AIVIVN_celeb_face_recognition 2
f08 | wrong_faces.arc | wrong_faces.arc_exchanged | alignment_template | | | opencv/opencv_zoo 187
f09 | wrong_faces.arc | wrong_faces.arc_scaled_down | alignment_template | | | deepinsight/insightface 2191
f10 | wrong_faces.arc_128 | wrong_faces.arc_128_scaled | alignment_template | | | LdDl/object-detection-opencv-rust 31
f11 | wrong_faces.own | wrong_faces.own_other | alignment_template | | | own templates, cf. facefusion/facefusion 1215
f12 | wrong_faces.own | wrong_faces.own_moved | alignment_template shift | | | own templates, cf. insight-platform/Savant 505
f13 | wrong_faces.own | wrong_faces.own_bgr | channel_order | | | opencv/opencv_zoo 285
f14 | wrong_faces.arc | wrong_faces.own | alignment_template | | | insight-platform/Savant 505
f15 | wrong_faces.arc | wrong_faces.resized_box | alignment_template | | | zhouyuchong/face-recognition-deepstream 33
f16 | wrong_faces.resized_box | wrong_faces.arc | alignment_template margin crop unknown | | | zhouyuchong/face-recognition-deepstream 41
f17 | wrong_faces.crop_scale_2_7 | wrong_faces.crop_scale_4 | equal margin crop | | | syaringan357/iOS-MobileFaceNet-MTCNN-FaceAntiSpoofing 11
f18 | wrong_faces.crop_scale_2_7 | wrong_faces.crop_scale_2_7_unit | double_normalization value_range scale | | | google-ai-edge/litert-samples 215
f19 | wrong_faces.mtcnn_margin_14 | wrong_faces.mtcnn_margin_44 | margin crop | | | timesler/facenet-pytorch 62
f20 | wrong_faces.mtcnn_margin_14 | wrong_faces.mtcnn_array | resize_kernel antialias | | | timesler/facenet-pytorch 42
f21 | wrong_faces.tight | wrong_faces.tight_xywh | crop margin unknown | | | Charrin/RetinaFace-Cpp 21
f22 | wrong_faces.tight | wrong_faces.tight_plus_one | crop margin unknown equal | | | Charrin/RetinaFace-Cpp 21
f23 | wrong_faces.tight | wrong_faces.tight_square | aspect crop margin | | | elucideye/drishti 366
f24 | wrong_faces.tight | wrong_faces.tight_bgr | channel_order | | | takuya-takeuchi/FaceRecognitionDotNet 31
f25 | wrong_faces.tight | wrong_faces.whole_picture | crop margin | | | serengil/deepface 889
f26 | wrong_faces.mesh_roi | wrong_faces.mesh_roi_upright | rotation alignment_template crop margin unknown | | | google-ai-edge/mediapipe 3868
c01 | wrong_colour.rgb | wrong_colour.bgr | channel_order | | | blakeblackshear/frigate 23712
c02 | wrong_colour.rgb | wrong_colour.grb | channel_order | | | MirrorYuChen/ncnn_example 2
c03 | wrong_colour.gray_in_three | wrong_colour.rgb | gray_weights channel_order | | | atulapra/Emotion-detection 14
c04 | wrong_colour.rgb | wrong_colour.gray_in_three | gray_weights channel_order | | | ToTheBeginning/PuLID 98
c05 | wrong_colour.gray | wrong_colour.gray_of_wrong_order | gray_weights channel_order | | | jantic/DeOldify 462
c06 | wrong_colour.gray | wrong_colour.gray_mean | gray_weights | | | onnx/models 139
c07 | wrong_colour.gray | wrong_colour.gray_green | gray_weights | | | onnx/models 139
c08 | wrong_colour.gray_709 | wrong_colour.gray | gray_weights | | | NVIDIA/gpu-rest-engine 27 (skimage)
c09 | wrong_colour.gray | wrong_colour.gray_value | gray_weights unknown | | | WillBrennan/SkinDetector 17
c10 | wrong_colour.hsv | wrong_colour.hsv_full | scale value_range unknown channel_order | | | opencv/opencv 6594
c11 | wrong_colour.hsv | wrong_colour.hsv_of_wrong_order | channel_order unknown | | | WillBrennan/SkinDetector 17
c12 | wrong_colour.hsv | wrong_colour.hls | channel_order unknown | | | opencv/opencv 6952
c13 | wrong_colour.hsv | wrong_colour.plain_bytes | channel_order unknown | | | rshaojimmy/RFMetaFAS 3
c14 | wrong_colour.plain_bytes | wrong_colour.hsv | channel_order unknown | | | rshaojimmy/RFMetaFAS 3
c15 | wrong_colour.lab | wrong_colour.lab_of_wrong_order | channel_order unknown | | | CodecWang/opencv-python-tutorial 13
c16 | wrong_colour.lab | wrong_colour.lab_linear | gamma unknown | | | own, cf. kornia/kornia-rs 291
c17 | wrong_colour.ycrcb | wrong_colour.ycbcr | channel_order | | | opencv/opencv 4946
c18 | wrong_colour.ycbcr | wrong_colour.yuv | yuv_matrix scale value_range unknown channel_order | mean saturation | | rerun-io/rerun 7666
c19 | wrong_colour.ycbcr | wrong_colour.rgb | channel_order yuv_matrix unknown | | | jantic/DeOldify 462
c20 | wrong_colour.nv12 | wrong_colour.nv12_full | yuv_range | | nv12 | Telecommunication-Telemedia-Assessment/SITI 19
c21 | wrong_colour.nv12 | wrong_colour.nv12_709 | yuv_matrix | | nv12 | kornia/kornia-rs 291
c22 | wrong_colour.nv12_709 | wrong_colour.nv12_as_nv21 | yuv_matrix channel_order | yuv_matrix channel_order | nv12 | opencv/opencv 13526
c23 | wrong_colour.nv12 | wrong_colour.nv12_gray_only | gray_weights unknown | channel_order | nv12 | opencv/opencv 11508
c24 | wrong_colour.nv12 | wrong_colour.nv12_padded_rows | layout unknown | | nv12 | QuickBirdEng/yuvToMat 5
c25 | wrong_colour.sixteen_shifted | wrong_colour.sixteen_clipped | decoder saturation unknown equal | | | ros-perception/image_pipeline 334
c26 | wrong_colour.alpha_dropped | wrong_colour.alpha_on_white | decoder unknown | | | QwenLM/Qwen3-VL 661
c27 | wrong_colour.rgb | wrong_colour.through_webp | decoder unknown | | | android/camera-samples 579 (a cache)
c28 | wrong_colour.through_jpeg_file | wrong_colour.rgb | decoder unknown | | | timesler/facenet-pytorch 64
c29 | wrong_colour.rgb | wrong_colour.sharpened | unknown resize_kernel | | | hollance/CoreMLHelpers 14
c30 | wrong_colour.rgb | wrong_colour.bilateral | unknown | | | davisking/dlib 723
c31 | wrong_colour.rgb | wrong_colour.white_balanced | histogram unknown | | | android/camera-samples 579
c32 | wrong_colour.rgb | wrong_colour.saturation_raised | unknown | | | opencv/opencv 14163
n01 | later_same.square_then_small | later_same.square_then_small_numpy | | | | varCODEx/int20h_2024_shibarinu (code)
n02 | later_same.fer_crop | later_same.fer_crop_pillow | | | | WuJie1010/Facial-Expression-Recognition.Pytorch 62
n03 | later_same.half_half | later_same.half_half_there_and_back | | | | HuangYG123/CurricularFace 26
n04 | later_same.restored | later_same.restored_of_frame | | | | sczhou/CodeFormer 162
n05 | later_same.three_points | later_same.three_points_solved | | | | cmusatyalab/openface 50
n06 | later_same.masked_bytes | later_same.plain_division | | | | qwx.jp (TensorFlow Lite, Java)
n07 | later_same.packed | later_same.unpacked | | | | example-a.com 55929197 (Bitmap)
n08 | later_same.hsv_skimage | later_same.hsv_float_cv2 | | | | ksharindam/photoquick 16
n09 | later_same.equalised_luma | later_same.equalised_luma_split | | | | bytedeco/javacv 468
n10 | later_same.two_steps | later_same.two_steps_cut | | | | airo-ugent/airo-mono 89
n11 | later_same.replicated | later_same.replicated_by_index | | | | elucideye/drishti 366
n12 | later_same.padded_32 | later_same.padded_32_ceil | | | | biubug6/Pytorch_Retinaface 5
n13 | later_same.exif_rotated | later_same.exif_copied | | | | mittagessen/kraken 760
n14 | later_same.plain_division | later_wrong.signed_bytes | saturation | | | qwx.jp (TensorFlow Lite, Java)
n15 | later_wrong.vgg_right | later_wrong.vgg_rgb | channel_order | mean | | sb-ai-lab/EmotiEffLib 16
n16 | later_wrong.vgg_right | later_wrong.vgg_unit | scale value_range double_normalization | mean | | justadudewhohacks/face-api.js 308
n17 | later_same.square_then_small | later_wrong.small_then_square | resize_order shift aspect unknown | size | | serengil/deepface 272
n18 | later_same.square_then_small | later_wrong.stretched_small | aspect | | | serengil/deepface 272
n19 | later_same.fer_crop | later_wrong.fer_no_crop | crop | | | WuJie1010/Facial-Expression-Recognition.Pytorch 62
n20 | later_same.fer_crop | later_wrong.fer_corner | crop shift | | | WuJie1010/Facial-Expression-Recognition.Pytorch 62
n21 | later_same.fer_crop | later_wrong.fer_negative | scale value_range mean | mean scale | | own, cf. otfbm/maps 24
n22 | later_same.restored | later_wrong.restored_unit | value_range | scale mean | | sczhou/CodeFormer 162
n23 | later_same.restored | later_wrong.restored_bgr | channel_order | | | xinntao/facexlib 40
n24 | later_same.restored | later_wrong.restored_wrong_eyes | alignment_template | flip rotation | | facefusion/facefusion 812
n25 | later_same.three_points | later_wrong.three_points_nose | alignment_template | | | cmusatyalab/openface 50
n26 | later_same.three_points | later_wrong.three_points_bgr | channel_order | | | cmusatyalab/openface 50
n27 | later_same.hsv_skimage | later_wrong.hsv_degrees | scale value_range | unknown | | opencv/opencv 6952
n28 | later_same.hsv_skimage | later_wrong.hsv_of_bgr | channel_order | | | WillBrennan/SkinDetector 17
n29 | later_same.two_steps | later_wrong.one_step | resize_order | antialias | | marcoslucianops/DeepStream-Yolo 216
n30 | later_same.two_steps | later_wrong.two_steps_nearest | resize_kernel | antialias | | airo-ugent/airo-mono 89
n31 | later_same.replicated | later_wrong.black_outside | crop aspect unknown | | | deepinsight/insightface 804
n32 | later_same.replicated | later_wrong.narrower | margin crop | | | timesler/facenet-pytorch 62
n33 | later_same.replicated | later_wrong.squeezed | aspect margin crop | aspect margin crop | | elucideye/drishti 366
n34 | later_same.padded_32 | later_wrong.padded_64 | size | aspect | | deepcam-cn/yolov5-face 71
n35 | later_same.padded_32 | later_wrong.padded_32_no_mean | missing_normalization mean | | | Charrin/RetinaFace-Cpp 32
n36 | later_same.plain_division | later_wrong.warmer | scale unknown saturation | scale saturation | | android/camera-samples 579
n37 | later_same.plain_division | later_wrong.sepia | unknown gray_weights channel_order | saturation scale | | own, a filter
n38 | later_same.plain_division | later_wrong.contrast_half | scale value_range mean | mean scale | | android/camera-samples 579
n39 | later_wrong.plain_96 | later_wrong.clahe | histogram | | | bytedeco/javacv 468
n40 | later_wrong.clahe | later_wrong.plain_96 | histogram | | | bytedeco/javacv 468
n41 | later_same.equalised_luma | later_wrong.plain_96 | histogram | | | varCODEx/int20h_2024_shibarinu (code)
n42 | later_same.plain_division | later_wrong.tensorflow_decoded | decoder exif_orientation | exif_orientation decoder | | serizba/cppflow 62
n43 | later_same.plain_division | later_wrong.vertical_half | resize_order resize_kernel antialias unknown shift pixel_centers | shift aspect | | own, interlaced video
a01 | fresh/values_twice.texture_reference | fresh/values_twice.texture_unit | | | | NVIDIA/DALI 5260
a02 | fresh/values_twice.graph_outside | fresh/values_twice.graph_inside | | | | openvinotoolkit/openvino 11658
a03 | fresh/values_twice.graph_outside | fresh/values_twice.scale_and_bias | | | | Tencent/TNN 744
a04 | fresh/values_twice.timm_pillow | fresh/values_twice.timm_tensor | | | | pytorch/vision 6506
a05 | fresh/values_twice.triangular_pillow | fresh/values_twice.triangular | | | | NVIDIA/DALI 4257
a06 | fresh/values_twice.planar_plain | fresh/values_twice.planar_to_range | | | | hollance/CoreMLHelpers 6
a07 | fresh/values_twice.half_at_the_end | fresh/values_twice.half_throughout | | | | marcoslucianops/DeepStream-Yolo 358
a08 | fresh/values_twice.symmetric_table | fresh/values_twice.symmetric_c | | | | espressif/esp-dl 117
a09 | fresh/values_twice.sideways_numpy | fresh/values_twice.sideways_cv2 | | | | Geekgineer/YOLOs-CPP 101
a10 | fresh/values_twice.curve_power | fresh/values_twice.curve_lut | | | | shiguredo/sora-android-sdk-samples 3
a11 | fresh/values_twice.lightness_rgb | fresh/values_twice.lightness_bgr | | | | bytedeco/javacv 468
a12 | fresh/values_twice.middle_numpy | fresh/values_twice.middle_tensorflow | equal decoder | | | pytorch/vision 429
a13 | fresh/values_twice.bars_numpy | fresh/values_twice.bars_tensorflow | equal decoder | | | pntt3011/mediapipe_face_iris_cpp 18
a14 | fresh/places_twice.gray_library | fresh/places_twice.gray_mcu | equal rounding | | | espressif/esp-tflite-micro 18
a15 | fresh/places_twice.gray_after | fresh/places_twice.gray_decoder | equal decoder | | | opencv/opencv 11508
a16 | fresh/places_twice.flat_cv2 | fresh/places_twice.flat_numpy | | | | onnx/models 117
a17 | fresh/places_twice.frame_cv2 | fresh/places_twice.frame_shifted | | | nv12 | tensorflow/tensorflow 306
a18 | fresh/places_twice.frame_cv2 | fresh/places_twice.frame_298 | | | nv12 | shaqian/flutter_tflite 249
a19 | fresh/places_twice.deep_decoder | fresh/places_twice.deep_by_hand | equal exif_orientation | | | Nerogar/mgds 55
a20 | fresh/places_twice.large_ratio | fresh/places_twice.large_scaled_map | | | | deepinsight/insightface 333
a21 | fresh/places_twice.mirrored_after | fresh/places_twice.mirrored_before | | | | opencv/opencv 14915
a22 | fresh/places_twice.offsets_demo | fresh/places_twice.offsets_again | | | | petercunha/Emotion 7
a23 | fresh/places_twice.patch_library | fresh/places_twice.patch_warp | | | | davisking/dlib 1962
a24 | fresh/places_twice.roi_points | fresh/places_twice.roi_matrix | | | | google-ai-edge/mediapipe 716
b01 | fresh/values_mistaken.centred | fresh/values_mistaken.centred_twice | double_normalization value_range scale | mean | | blakeblackshear/frigate 22317
b02 | fresh/values_mistaken.imagenet | fresh/values_mistaken.factor_before_mean | mean | | | alibaba/MNN 1963
b03 | fresh/values_mistaken.imagenet | fresh/values_mistaken.one_deviation | scale | mean | | akirasosa/mobile-semantic-segmentation 6
b04 | fresh/values_mistaken.imagenet | fresh/values_mistaken.deviation_typo | scale | mean | | pytorch/pytorch 14273
b05 | fresh/values_mistaken.imagenet | fresh/values_mistaken.mean_typo | mean | | | openvinotoolkit/open_model_zoo 1872
b06 | fresh/values_mistaken.unit | fresh/values_mistaken.mean_of_other_unit | mean value_range double_normalization | scale | | keras-team/keras 9313
b07 | fresh/values_mistaken.centred | fresh/values_mistaken.scale_127 | scale equal | mean | | apple/coremltools 1087
b08 | fresh/values_mistaken.unit | fresh/values_mistaken.integer_division | saturation quantization value_range missing_normalization dtype unknown | scale | | python-pillow/Pillow 3159
b09 | fresh/values_mistaken.imagenet | fresh/values_mistaken.mean_picture | mean unknown | | | NVIDIA/DIGITS 1369 (mean image)
b10 | fresh/values_mistaken.unit | fresh/values_mistaken.linear_light | gamma | | | Unity-Technologies/barracuda-release 100
b11 | fresh/values_mistaken.unit | fresh/values_mistaken.upside_down_bgr | flip channel_order | flip channel_order | | keijiro/YoloV4TinyBarracuda 3
b12 | fresh/values_mistaken.unit | fresh/values_mistaken.bgra_as_argb | channel_order layout unknown | saturation | | apple/coremltools 82
b13 | fresh/values_mistaken.unit | fresh/values_mistaken.header_kept | shift layout unknown | channel_order | | tensorflow/tflite-micro-arduino-examples 93
b14 | fresh/values_mistaken.unit | fresh/values_mistaken.one_byte_late | channel_order layout unknown | shift | | mocleiri/tensorflow-micropython-examples 59
b15 | fresh/values_mistaken.unit | fresh/values_mistaken.floats_as_bytes | layout dtype unknown | | | dendisuhubdy/libtorch_examples 2
b16 | fresh/values_mistaken.unit | fresh/values_mistaken.interleaved_in_planes | layout unknown | | | Tencent/TNN 744
b18 | fresh/values_mistaken.unit | fresh/values_mistaken.rgb565_swapped | layout quantization unknown channel_order | | | espressif/esp32-camera 511
b19 | fresh/values_mistaken.bytes_unit | fresh/values_mistaken.clock_in_the_corner | unknown | | | own, a camera's clock
b20 | fresh/values_mistaken.unit | fresh/values_mistaken.exposure_of_its_own | histogram unknown | saturation | | tensorflow/tflite-support 668
b21 | fresh/values_mistaken.unit | fresh/values_mistaken.median_filtered | unknown resize_kernel | | | tensorflow/tflite-support 668
b22 | fresh/values_mistaken.bytes_unit | fresh/values_mistaken.jpeg_after_resize | decoder unknown | | | azihsoyn/flutter_mlkit 45
b23 | fresh/values_mistaken.bytes_unit | fresh/values_mistaken.undistorted | unknown | | | ArduCAM/MIPI_Camera 44
b24 | fresh/places_mistaken.gray_unit | fresh/places_mistaken.gray_saturation_plane | gray_weights unknown | channel_order | | ArduCAM/MIPI_Camera 44
b25 | fresh/values_mistaken.unit | fresh/values_mistaken.false_colours | unknown channel_order | | | own, thermal cameras
b26 | fresh/values_mistaken.unit | fresh/values_mistaken.s_curve | gamma unknown histogram | | | tensorflow/tflite-support 668
b27 | fresh/values_mistaken.nv12 | fresh/values_mistaken.nv12_2020 | yuv_matrix unknown | | nv12 | kornia/kornia-rs 291
b28 | fresh/values_mistaken.nv12 | fresh/values_mistaken.nv12_aligned_height | layout unknown | | nv12 | QuickBirdEng/yuvToMat 5
b29 | fresh/values_mistaken.yuyv_luma | fresh/values_mistaken.yuyv_chroma | layout unknown gray_weights channel_order | | yuyv | arduino-libraries/Arduino_OV767X 1
b30 | fresh/values_mistaken.yuyv_rgb | fresh/values_mistaken.yvyu_rgb | yuv_matrix channel_order | yuv_matrix channel_order | yuyv | opencv/opencv 14163
b31 | fresh/places_mistaken.linear | fresh/places_mistaken.corners_in_place | pixel_centers | | | alibaba/MNN 1135
b32 | fresh/places_mistaken.linear | fresh/places_mistaken.factors_exchanged | aspect crop unknown size | resize_order margin | | alibaba/MNN 1963
b33 | fresh/places_mistaken.bicubic_pillow | fresh/places_mistaken.bicubic_cv2 | antialias resize_kernel | | | NVIDIA/DALI 422
b34 | fresh/places_mistaken.short_side | fresh/places_mistaken.height_always | size aspect crop unknown | | | facebookresearch/FixRes 4
b35 | fresh/places_mistaken.short_side | fresh/places_mistaken.crop_share_95 | crop | size | | huggingface/pytorch-image-models 1383
b36 | fresh/places_mistaken.linear | fresh/places_mistaken.zoomed | crop | margin | | hunglc007/tensorflow-yolov4-tflite 352
b37 | fresh/places_mistaken.linear | fresh/places_mistaken.wide_screen | crop aspect | | | hunglc007/tensorflow-yolov4-tflite 352
b38 | fresh/places_mistaken.exif_applied | fresh/places_mistaken.exif_applied_twice | exif_orientation | | | facebookresearch/detectron2 262
b39 | fresh/places_mistaken.kept_aspect_centred | fresh/places_mistaken.squeezed_unit | aspect | value_range scale missing_normalization mean | | pntt3011/mediapipe_face_iris_cpp 18
b40 | fresh/places_mistaken.aligned | fresh/places_mistaken.aligned_xy_exchanged | alignment_template | | | opencv/opencv_zoo 187
b41 | fresh/places_mistaken.aligned | fresh/places_mistaken.aligned_whole_landmarks | alignment_template equal unknown | shift | | deepinsight/insightface 804
b42 | fresh/places_mistaken.aligned | fresh/places_mistaken.aligned_from_cut | crop alignment_template aspect unknown | | | serengil/deepface 414
b43 | fresh/places_mistaken.aligned | fresh/places_mistaken.aligned_zoomed_out | alignment_template | margin crop | | laurenspriem/flutterface 5
b44 | fresh/places_mistaken.aligned | fresh/places_mistaken.aligned_affine | alignment_template | | | davisking/dlib 1351
b45 | fresh/places_mistaken.aligned | fresh/places_mistaken.aligned_gray_bgr | channel_order value_range double_normalization scale | channel_order value_range double_normalization scale mean | | blakeblackshear/frigate 22319
b46 | fresh/places_mistaken.boxed | fresh/places_mistaken.boxed_transposed | transpose | | | rakutentech/FAU_CVPR2021 3
b47 | fresh/places_mistaken.boxed | fresh/places_mistaken.boxed_offsets | margin crop | aspect | | petercunha/Emotion 7
b48 | fresh/places_mistaken.boxed | fresh/places_mistaken.boxed_of_turned | rotation crop alignment_template unknown | | | serengil/deepface 414
b49 | fresh/places_mistaken.squared | fresh/places_mistaken.squared_reflected | aspect crop unknown | | | deepinsight/insightface 804
b50 | fresh/places_mistaken.gray_centred | fresh/places_mistaken.gray_unit | value_range missing_normalization scale | mean | | onnx/models 117
b51 | fresh/places_mistaken.gray_unit | fresh/places_mistaken.gray_local_mean | histogram unknown | | | rakutentech/FAU_CVPR2021 3
a31 | fresh/more_twice.mirrored_index | fresh/more_twice.mirrored_map | | | | Geekgineer/YOLOs-CPP 101
a32 | fresh/more_twice.bars_library | fresh/more_twice.bars_pasted | | | | sstainba/Yolov8.Net 39
a33 | fresh/more_twice.dense_map | fresh/more_twice.dense_steps | | | | deepinsight/insightface 804
a34 | fresh/more_twice.width_first_cv2 | fresh/more_twice.width_first_numpy | | | | ksachdeva/opencv-mtcnn 3
a35 | fresh/more_twice.luma_cv2 | fresh/more_twice.luma_weights | | | | arduino-libraries/Arduino_OV767X 1
a36 | fresh/more_twice.blob_127 | fresh/more_twice.loop_127 | | | | alibaba/MNN 3076
a37 | fresh/more_twice.age_blob | fresh/more_twice.age_loop | | | | pyimagesearch.com blobFromImage
a38 | fresh/more_twice.quantised_formula | fresh/more_twice.quantised_shift | equal rounding quantization | | | tensorflow/tflite-support 911
a39 | fresh/more_twice.window_numpy | fresh/more_twice.window_tensorflow | equal decoder | | | peteryuX/arcface-tf2 40
a40 | fresh/more_twice.letter_l | fresh/more_twice.letter_l_float | | | | onnx/models 117
a41 | fresh/more_twice.screen_slice | fresh/more_twice.screen_index | | | | hunglc007/tensorflow-yolov4-tflite 352
d01 | fresh/more_mistaken.unit | fresh/more_mistaken.first_channel_scaled | scale unknown channel_order | value_range | | OpenCV's Scalar of one number
d02 | fresh/more_mistaken.unit | fresh/more_mistaken.floats_big_endian | unknown dtype layout | | | azihsoyn/flutter_mlkit 45
d03 | fresh/more_mistaken.unit | fresh/more_mistaken.small_by_steps | resize_order antialias resize_kernel unknown | | | own, a preview stream
d04 | fresh/more_mistaken.unit | fresh/more_mistaken.vignetted | unknown histogram | | | own, a wide lens
d05 | fresh/more_mistaken.unit | fresh/more_mistaken.motion_blurred | unknown | | | own, exposure
d06 | fresh/more_mistaken.unit | fresh/more_mistaken.blue_displaced | unknown | | | own, planes of a sensor
d07 | fresh/more_mistaken.unit | fresh/more_mistaken.noon | histogram gamma unknown | | | tensorflow/tflite-support 668
d08 | fresh/more_mistaken.unit | fresh/more_mistaken.front_camera | transpose rotation flip | transpose rotation flip | | atharvakale31/Real-Time_Face_Recognition_Android 30
d09 | fresh/more_mistaken.unit | fresh/more_mistaken.large_first | resize_order | antialias resize_kernel | | tmasouris/end-to-end-chess-recognition 5
d10 | fresh/more_mistaken.unit | fresh/more_mistaken.middle_square | crop aspect | | | tensorflow/tensorflow 15688
d11 | fresh/more_mistaken.cut_once | fresh/more_mistaken.cut_twice | crop | | | peteryuX/arcface-tf2 40
d12 | fresh/more_mistaken.centred | fresh/more_mistaken.centred_then_bytes | saturation quantization dtype missing_normalization value_range unknown | scale | | Deci-AI/super-gradients 1202
d13 | fresh/more_mistaken.boxed_middle | fresh/more_mistaken.boxed_corner_black | shift aspect | shift aspect | | akbartus/Yolov8-Segmentation-on-Browser 2
d14 | fresh/more_mistaken.boxed_middle | fresh/more_mistaken.boxed_least | size aspect | | | ultralytics/ultralytics 1644
d15 | fresh/more_mistaken.window | fresh/more_mistaken.window_stretched | crop aspect size unknown | resize_order | | facebookresearch/FixRes 4
d16 | fresh/more_mistaken.gray | fresh/more_mistaken.gray_of_extremes | gray_weights unknown | | | own, Photoshop's desaturation
d17 | fresh/more_mistaken.gray | fresh/more_mistaken.gray_of_red | gray_weights channel_order | | | google-coral/example-object-tracker 18
d18 | fresh/more_mistaken.signed | fresh/more_mistaken.signed_halved | quantization value_range scale | mean | | google-coral/edgetpu 382
d19 | fresh/more_mistaken.aligned | fresh/more_mistaken.aligned_unit_bgr | channel_order value_range | channel_order value_range scale missing_normalization mean | | blakeblackshear/frigate 23712
d20 | fresh/more_mistaken.aligned | fresh/more_mistaken.aligned_nearest | resize_kernel | | | btastic/flutter_native_image 45
d21 | fresh/more_mistaken.aligned | fresh/more_mistaken.aligned_grown | alignment_template margin crop | resize_order | | albertpumarola/GANimation 80
d22 | fresh/more_mistaken.dense_plain | fresh/more_mistaken.dense_level | rotation alignment_template unknown | | | google-ai-edge/mediapipe 716
d23 | fresh/more_mistaken.tight | fresh/more_mistaken.tight_nearest | resize_kernel | | | inaturalist/vision-camera-plugin-inatvision 12
d24 | fresh/more_mistaken.tight | fresh/more_mistaken.tight_20 | margin | crop | | pyimagesearch.com blobFromImage
d25 | fresh/more_mistaken.tight | fresh/more_mistaken.tight_upper | crop unknown aspect | margin | | own, faces behind masks
d26 | fresh/more_twice.loop_127 | fresh/more_twice.blob_127_once | mean | | | OpenCV's Scalar of one number
"""


class Pair(NamedTuple):
    """One row of the table."""

    name: str
    train: str
    infer: str
    must: frozenset[str]
    may: frozenset[str]
    probes: str
    source: str

    @property
    def same(self) -> bool:
        """Whether both sides do the same."""
        return not self.must


def _pair(line: str) -> Pair:
    name, train, infer, must, may, probes, source = (v.strip() for v in line.split("|"))
    return Pair(name, train, infer, frozenset(must.split()), frozenset(may.split()), probes, source)


PAIRS = tuple(_pair(line) for line in ROWS.strip().splitlines())
SEED = 20261127
LATER = ("n", "a", "b", "d")
"""Rows that were collected after the search had been changed for the others, and run once before it was changed again:
n first, then a01 to b51, then a31 to d26."""
FIXED_AGAINST = 85
"""This many pairs were looked at while the search was changed; the others were kept aside."""


def _drawn() -> frozenset[str]:
    names = sorted(p.name for p in PAIRS if not p.name.startswith(LATER))
    random.Random(SEED).shuffle(names)
    return frozenset(names[FIXED_AGAINST:])


KEPT = _drawn()


def outcome(pair: Pair, verdict: str, kinds: list[str]) -> str:
    """Return right, unknown (no cause named), missed (a difference not seen) or false (a wrong accusation)."""
    good = verdict in ("identical", "equivalent")
    if pair.same:
        return "right" if good else "false"
    if good:
        return "right" if "equal" in pair.must else "missed"
    if any(k not in pair.must | pair.may | {"unknown"} for k in kinds):
        return "false"
    return "right" if pair.must & set(kinds) else "unknown"
