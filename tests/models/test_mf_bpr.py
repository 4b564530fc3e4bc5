from model_contract import RecommenderContract


class TestMFBPR(RecommenderContract):
    name = "MF-BPR"
    learning = {"regulariser": 0.01}
