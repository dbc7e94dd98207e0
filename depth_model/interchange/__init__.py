"""Models and labels for other programs: ONNX, OpenVINO, torch.export, label files. Nothing here trains."""
