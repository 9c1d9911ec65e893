"""The networks as ONNX graphs: traced, rounded, checked against torch, and run by ONNX Runtime in torch's place."""
