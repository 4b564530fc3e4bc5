from model_contract import RecommenderContract


class TestLGMRec(RecommenderContract):
    name = "LGMRec"
