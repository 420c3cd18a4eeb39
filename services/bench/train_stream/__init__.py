"""`rankgr bench train-stream`: how fast samples are learnt from as they come."""
