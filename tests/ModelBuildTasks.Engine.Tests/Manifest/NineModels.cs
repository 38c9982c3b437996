namespace ModelBuildTasks.Engine.Tests.Manifest;

/// <summary>A manifest that uses most of what there is: nine models, every source, anchors, narrowed datasets.</summary>
internal static class NineModels
{
    public static readonly string[] Files =
    [
        "data/photos/coco/a.jpg", "data/photos/coco/b.jpg", "data/photos/other/c.jpeg", "data/photos/imagenet47.npy", "data/photos/labels.npy",
        "data/mnist/images.gz", "data/mnist/labels.gz", "data/sms/calib.npy", "data/sms/test.npy", "data/sms/labels.npy", "data/llama/tokens.npy", "data/iris/Iris.csv",
        "data/squeezenet_fp32.onnx", "data/fastestdet.onnx", "data/ultraface-rfb-320.onnx", "data/mnist.onnx", "data/digits_mobile.onnx", "data/digits_resnet.onnx",
        "data/sms_encoder.onnx", "data/aidreams260k.onnx", "data/iris_network.onnx",
    ];

    public const string Text = """
        version: 1

        datasets:
          coco:                      # 29 unlabelled photos, for calibration
            inputs: { data_0: &imagenet { images: data/photos/coco/*.jpg, resize: 256, crop: 224, channels: BGR, mean: [104, 117, 124] } }
          imagenet47:                # 47 labelled photos as one array; image options apply to arrays too
            inputs: { data_0: { npy: data/photos/imagenet47.npy, layout: NHWC, channels: BGR, mean: [104, 117, 124] } }
            labels: { npy: data/photos/labels.npy }
          detector-calibration:
            inputs: { input.1: { images: data/photos/coco/*.jpg, resize: [352, 352], channels: BGR, scale: 0.00392156862745098 } }
            take: 16
          detector-test:
            inputs: { input.1: { images: data/photos/coco/*.jpg, resize: [352, 352], channels: BGR, scale: 0.00392156862745098 } }
            skip: 16
          faces:
            inputs: { input: { images: "data/photos/**/*.jp*g", resize: [320, 240], channels: RGB, mean: [127, 127, 127], std: [128, 128, 128] } }
            take: 32
          faces-test:
            inputs: { input: { images: "data/photos/**/*.jp*g", resize: [320, 240], channels: RGB, mean: [127, 127, 127], std: [128, 128, 128] } }
            skip: 32
            take: 32
          digits-raw:
            inputs: { Input3: { idx: data/mnist/images.gz } }       # uint8 [10000,28,28] -> float [1,1,28,28] as the model wants
            labels: { idx: data/mnist/labels.gz }
          digits-train:
            inputs: { image: { idx: data/mnist/images.gz, scale: 0.00392156862745098 } }
            take: 8000
          digits-test:
            inputs: { image: { idx: data/mnist/images.gz, scale: 0.00392156862745098 } }
            labels: { idx: data/mnist/labels.gz }
            skip: 8000
            batch: 100
          sms-train: { inputs: { ids: { npy: data/sms/calib.npy } } }
          sms-test: { inputs: { ids: { npy: data/sms/test.npy } }, labels: { npy: data/sms/labels.npy }, batch: 50 }
          story-calibration: { inputs: { input_ids: { npy: data/llama/tokens.npy } }, take: 64 }
          story-test: { inputs: { input_ids: { npy: data/llama/tokens.npy } }, skip: 64, batch: 16 }
          flowers: { inputs: { input: { csv: data/iris/Iris.csv, columns: [1, 2, 3, 4] } }, labels: { csv: data/iris/Iris.csv, column: 5, classes: [Iris-setosa, Iris-versicolor, Iris-virginica] } }
        targets:
          - { model: data/squeezenet_fp32.onnx, name: SqueezeNet, recipe: int8, calibration: coco, validate: { data: imagenet47, agreement: { min: 80% }, size: { max: 1.4 MB } } }
          - { model: data/fastestdet.onnx, recipe: int8, calibration: detector-calibration, validate: { data: detector-test, sqnr: { min: 11 } } }
          - { model: data/ultraface-rfb-320.onnx, name: UltraFace, recipe: int8, calibration: faces, validate: { data: faces-test, sqnr: { min: 40 } } }
          - { model: data/mnist.onnx, recipe: int8, calibration: { use: digits-raw, take: 200 }, validate: { data: { use: digits-raw, skip: 2000 }, accuracy: { max_drop: 0.2 } } }
          - { model: data/digits_mobile.onnx, recipe: int8, calibration: { use: digits-train, take: 256 }, validate: { data: digits-test, accuracy: { max_drop: 0.2 } } }
          - { model: data/digits_resnet.onnx, recipe: int8, calibration: { use: digits-train, take: 256 }, validate: { data: digits-test, accuracy: { max_drop: 0.2 } } }
          - { model: data/sms_encoder.onnx, recipe: int8, calibration: { use: sms-train, take: 256 }, validate: { data: sms-test, accuracy: { max_drop: 0.5 } } }
          - { model: data/aidreams260k.onnx, name: Stories, recipe: int8, calibration: story-calibration, validate: { data: story-test, nll: { max_drop: 1% } } }
          - { model: data/iris_network.onnx, name: Iris, recipe: int8, calibration: { use: flowers, shuffle: 1, take: 50 }, validate: { data: { use: flowers, shuffle: 1, skip: 50 }, accuracy: { max_drop: 1 } } }
        """;
}
