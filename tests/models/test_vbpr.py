from model_contract import RecommenderContract


class TestVBPR(RecommenderContract):
    name = "VBPR"


class TestVBPRPaper(RecommenderContract):
    name = "VBPR"
    config = {"variant": "paper"}
