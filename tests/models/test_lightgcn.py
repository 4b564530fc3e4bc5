from model_contract import RecommenderContract


class TestLightGCN(RecommenderContract):
    name = "LightGCN"
