from model_contract import RecommenderContract


class TestVBPR(RecommenderContract):
    name = "VBPR"
    multimodal = True


class TestVBPRPaper(RecommenderContract):
    name = "VBPR"
    multimodal = True
    config = {"variant": "paper"}
